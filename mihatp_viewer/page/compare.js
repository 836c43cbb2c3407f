/* The ways to compare: choose the image of each pane, and move all panes together. */
"use strict";

MiHATP.Compare = class {
  constructor(parent, scene, onMessage) {
    this.parent = parent;
    this.scene = scene;
    this.onMessage = onMessage;
    this.main = new MiHATP.Pane(parent, scene, { onMessage, navigator: true });
    this.others = [];
    this.outlines = [];
    this.moving = false;
    this.main.viewer.addHandler("viewport-change", () => this.follow(this.main));
  }

  async open() {
    await this.main.open();
  }

  get panes() {
    return [this.main, ...this.others];
  }

  setOutlines(outlines) {
    this.outlines = outlines;
    this.panes.forEach((pane) => pane.setOutlines(outlines));
  }

  /** Show the settings of the address (`main.js`). */
  async show(settings) {
    const { left, right, mode } = settings;
    const wanted = mode === "side" && left !== right ? 1 : 0;
    this.parent.classList.toggle("side", wanted > 0);
    while (this.others.length > wanted) this.others.pop().destroy();
    const common = { layers: settings.layers, layerOpacity: settings.layerOpacity, smooth: settings.smooth };
    const alone = (image) => ({ ...common, left: image, right: null, opacity: 0, curtain: null });
    if (mode === "side") {
      this.main.show(alone(left));
      while (this.others.length < wanted) await this.addPane();
      this.others.forEach((pane) => pane.show(alone(right)));
      this.follow(this.main);
      return;
    }
    if (mode === "blink") {
      // Both are drawn at the same time: a blink loads nothing.
      this.main.show({ ...common, left, right, opacity: settings.blink ? 1 : 0, curtain: null });
      this.main.name(settings.blink ? right : left, null, null);
      return;
    }
    const isCurtain = mode === "curtain";
    const opacity = isCurtain ? 1 : settings.opacity;
    this.main.show({ ...common, left, right, opacity, curtain: isCurtain ? settings.curtain : null });
    if (!isCurtain && right !== left) {
      this.main.labels[1].textContent = `${this.scene.images[right].name} at ${Math.round(100 * settings.opacity)} %`;
    }
  }

  async addPane() {
    const pane = new MiHATP.Pane(this.parent, this.scene, { onMessage: this.onMessage, navigator: false });
    this.others.push(pane);
    await pane.open();
    pane.setOutlines(this.outlines);
    pane.viewer.addHandler("viewport-change", () => this.follow(pane));
  }

  /** Move all other panes to the position of `leader`, with as many µm for a screen pixel. */
  follow(leader) {
    if (this.moving || !this.others.length) return;
    this.moving = true;
    const from = leader.viewer.viewport;
    const centre = from.getCenter(true);
    for (const pane of this.panes) {
      if (pane === leader || !pane.viewer.isOpen()) continue;
      const to = pane.viewer.viewport;
      const zoom = (from.getZoom(true) * from.getContainerSize().x) / to.getContainerSize().x;
      if (Math.abs(to.getZoom(true) / zoom - 1) > 1e-9) to.zoomTo(zoom, undefined, true);
      if (to.getCenter(true).distanceTo(centre) > 1e-12) to.panTo(centre, true);
    }
    this.moving = false;
  }
};
