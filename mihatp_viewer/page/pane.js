/* A pane: one OpenSeadragon viewer that holds all images and maps by their physical size, and a canvas for outlines. */
"use strict";

MiHATP.Pane = class {
  /** `onMessage(text)` is called where a tile cannot be shown. */
  constructor(parent, scene, { onMessage, navigator }) {
    this.scene = scene;
    this.element = document.createElement("div");
    this.element.className = "pane";
    parent.append(this.element);
    this.viewer = OpenSeadragon({
      element: this.element,
      drawer: "canvas", // it clips at fractions of a pixel, and works from a disk
      showNavigationControl: false,
      showNavigator: navigator,
      navigatorPosition: "BOTTOM_RIGHT",
      navigatorAutoFade: true,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      keyboardNavEnabled: false,
      animationTime: 0.4,
      blendTime: 0,
      maxZoomPixelRatio: 32,
      minZoomImageRatio: 0.5,
      visibilityRatio: 0.3,
      imageLoaderLimit: 6,
      maxImageCacheCount: 600,
      maxTilesPerFrame: 8,
      preserveImageSizeOnResize: true,
      subPixelRoundingForTransparency: OpenSeadragon.SUBPIXEL_ROUNDING_OCCURRENCES.NEVER,
    });
    this.labels = ["left", "right"].map((side) => {
      const label = document.createElement("span");
      label.className = `name ${side}`;
      this.element.append(label);
      return label;
    });
    this.canvas = document.createElement("canvas");
    this.canvas.className = "outlines";
    this.viewer.canvas.append(this.canvas);
    this.shown = { left: null, right: null };
    this.outlines = [];
    this.explained = new Set();
    this.silentUntil = 0; // ms
    this.viewer.addHandler("tile-load-failed", (event) => this.explain(event.tile.getUrl(), onMessage));
    this.viewer.addHandler("viewport-change", () => this.clip());
    this.viewer.addHandler("update-viewport", () => this.drawOutlines());
    this.viewer.addHandler("resize", () => requestAnimationFrame(() => this.clip()));
    this.items = [];
  }

  /** Add all images, then the maps of layers; resolves when the viewer knows their sizes. */
  async open() {
    const maps = this.scene.layers.map((layer) => layer.map || null);
    for (const image of [...this.scene.images, ...maps]) {
      this.items.push(image === null ? null : await this.add(image));
    }
  }

  add(image) {
    const [width, height] = image.size;
    const tileSource = {
      width,
      height,
      tileSize: image.tile,
      tileOverlap: image.overlap,
      minLevel: Math.min(6, image.levels - 1),
      maxLevel: image.levels - 1,
      getTileUrl: (level, x, y) => `${image.url}/${level}/${x}_${y}.${image.encoding}`,
    };
    return new Promise((resolve, reject) => {
      this.viewer.addTiledImage({
        tileSource,
        x: 0,
        y: 0,
        width: image.width,
        opacity: 0,
        success: (event) => resolve(event.item),
        error: (event) => reject(new Error(event.message)),
      });
    });
  }

  /** Say why a tile is missing: the server answers with a line. Of many tiles of an image, the first is explained. */
  async explain(url, onMessage) {
    if (performance.now() < this.silentUntil) return;
    this.silentUntil = performance.now() + 2000;
    if (location.protocol === "file:") {
      onMessage(`${url} is missing: write the view again`);
      return;
    }
    try {
      const answer = await fetch(url);
      const [image] = url.match(/^tiles\/\d+/);
      const reason = `${image} ${answer.status}`; // that one tile is damaged, or that the file is gone
      if (answer.ok || this.explained.has(reason)) return;
      this.explained.add(reason);
      onMessage(await answer.text());
    } catch {
      onMessage("The server does not answer: start mihatp view again.");
    }
  }

  /**
   * Show `left` and `right` (indices of images, or null), the right one with an opacity. `curtain` is the part of the
   * width where the right one begins; null: no curtain.
   */
  show({ left, right, opacity, curtain, layers, layerOpacity, smooth }) {
    this.shown = { left, right, curtain };
    this.layers = layers;
    this.layerOpacity = layerOpacity;
    this.viewer.drawer.setImageSmoothingEnabled(smooth);
    this.viewer.imageSmoothingEnabled = smooth;
    this.items.forEach((item, number) => {
      if (item === null) return;
      const isMap = number >= this.scene.images.length;
      const is = number === left ? 1 : number === right ? opacity : 0;
      item.setOpacity(isMap ? (layers.includes(number - this.scene.images.length) ? layerOpacity : 0) : is);
      item.setPreload(number === left || number === right);
    });
    if (right !== null && right !== left) this.raise(right);
    this.clip();
    this.name(left, right, curtain);
    this.viewer.forceRedraw();
  }

  /** Draw the image `number` above the other images, and below the maps. */
  raise(number) {
    const order = this.items.filter((item, at) => item !== null && at < this.scene.images.length && at !== number);
    order.push(this.items[number], ...this.items.slice(this.scene.images.length).filter((item) => item !== null));
    order.forEach((item, index) => {
      if (this.viewer.world.getItemAt(index) !== item) this.viewer.world.setItemIndex(item, index);
    });
  }

  name(left, right, curtain) {
    const text = (number) => {
      const image = this.scene.images[number];
      return image.mpp === null ? image.name : `${image.name} · ${Number(image.mpp.toPrecision(4))} µm/px`;
    };
    this.labels[0].textContent = left === null ? "" : text(left);
    this.labels[1].textContent = right === null || curtain === null || right === left ? "" : text(right);
  }

  /** Cut the left and the right image at the curtain. */
  clip() {
    const { left, right, curtain } = this.shown;
    this.items.forEach((item, number) => {
      if (item === null || number >= this.scene.images.length) return;
      const side = number === left ? "left" : number === right ? "right" : null;
      if (side === null || curtain === null || curtain === undefined || left === right) {
        if (item.getClip() !== null) item.setClip(null);
        return;
      }
      const at = this.viewer.viewport.pointFromPixel(
        new OpenSeadragon.Point(curtain * this.viewer.container.clientWidth, 0), true).x;
      const size = item.getContentSize();
      const cut = Math.min(size.x, Math.max(0, item.viewportToImageCoordinates(at, 0, true).x));
      item.setClip(side === "left" ? new OpenSeadragon.Rect(0, 0, cut, size.y)
        : new OpenSeadragon.Rect(cut, 0, size.x - cut, size.y));
    });
  }

  /** `outlines`: index of a layer -> `MiHATP.outlines.Outlines`. */
  setOutlines(outlines) {
    this.outlines = outlines;
    this.viewer.forceRedraw();
  }

  drawOutlines() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.viewer.container;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    const shown = (this.layers || []).map((number) => this.outlines[number]).filter(Boolean);
    if (!shown.length) return;
    const bounds = this.viewer.viewport.getBounds(true);
    const scale = width / bounds.width;
    const box = [bounds.x, bounds.y, bounds.x + bounds.width, bounds.y + bounds.height];
    context.lineWidth = 1.5 * ratio;
    context.globalAlpha = this.layerOpacity;
    shown.forEach((one) => one.draw(context, { box, scale, x: -bounds.x * scale, y: -bounds.y * scale }));
  }

  destroy() {
    this.viewer.destroy();
    this.element.remove();
  }
};
