/* Start: the settings of the address, the panes, and the connection between settings, panes, controls and address. */
"use strict";

(() => {
  const scene = MiHATP.scene;
  const hasMpp = scene.mpp !== null;
  const units = scene.images[0].size[0] * (hasMpp ? scene.mpp : 1); // µm or px of the width of the first image
  const settings = {
    mode: "curtain",
    left: 0,
    right: Math.min(1, scene.images.length - 1),
    curtain: 0.5,
    opacity: 0.5,
    layerOpacity: 0.7,
    smooth: true,
    layers: [],
    blink: false,
  };
  const read = (hash) => MiHATP.address.read(hash, scene.images.length, scene.layers.length);
  const outlines = [];
  let compare = null;
  let drawn = Promise.resolve();

  const viewport = () => compare.main.viewer.viewport;
  const width = () => compare.main.viewer.container.clientWidth;
  const pixel = () => (units * viewport().getBounds(true).width) / width(); // µm or px of a screen pixel

  /** The centre and the scale of the view. */
  function current() {
    const centre = viewport().getCenter(true);
    return { x: centre.x * units, y: centre.y * units, px: pixel() };
  }

  function change(changes) {
    Object.assign(settings, changes);
    if (changes.mode) settings.blink = false;
    settings.layers.forEach(loadOutlines);
    MiHATP.controls.show(settings);
    drawn = drawn.then(draw);
  }

  /** Show the settings; where a pane becomes narrower or wider, a screen pixel stays as many µm. */
  async function draw() {
    const before = width();
    const view = current();
    await compare.show(settings);
    if (width() !== before) {
      while (viewport().getContainerSize().x !== width()) await new Promise(requestAnimationFrame);
      go(view);
    }
    remember();
  }

  function toggle(name) {
    if (name === "layers") {
      change({ layers: settings.layers.length ? [] : scene.layers.map((_, number) => number) });
    } else if (name === "theme") {
      const dark = settings.theme ? settings.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      change({ theme: dark ? "light" : "dark" });
    } else {
      change({ [name]: !settings[name] });
    }
  }

  function blink() {
    if (settings.mode === "blink") change({ blink: !settings.blink });
    else {
      change({ mode: "blink" });
      change({ blink: true });
    }
  }

  /** Zoom so that a screen pixel is `px` µm (or px of the first image), at once, with (x, y) in the centre. */
  function go({ x, y, px }) {
    const centre = viewport().getCenter(true);
    const to = new OpenSeadragon.Point(x === undefined ? centre.x : x / units, y === undefined ? centre.y : y / units);
    if (px !== undefined) viewport().zoomTo(units / (px * width()), undefined, true);
    viewport().panTo(to, true);
  }

  /** Go to the place of an address, which may lie anywhere: the view stays within its limits. */
  function visit(given) {
    go(given);
    viewport().applyConstraints(true);
  }

  function oneToOne() {
    const finest = scene.images.reduce((one, other) =>
      (other.size[0] / other.width > one.size[0] / one.width ? other : one));
    go({ px: (units * finest.width) / finest.size[0] });
    const corner = viewport().pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
    const off = corner.minus(corner.apply(Math.round)); // pixels of the image lie on those of the screen
    viewport().panBy(viewport().deltaPointsFromPixels(off, true), true);
  }

  /** Write the view into the address. */
  function remember() {
    const hash = MiHATP.address.write({ ...settings, ...current() });
    if (hash !== location.hash) history.replaceState(null, "", hash);
  }

  function loadOutlines(number) {
    const layer = scene.layers[number];
    if (!layer || !layer.outlines || number in outlines) return;
    outlines[number] = null;
    const script = document.createElement("script");
    script.src = layer.outlines;
    script.addEventListener("error", () => MiHATP.controls.say(`The outlines of ${layer.name} cannot be loaded.`));
    document.head.append(script);
  }

  MiHATP.addOutlines = (number, data) => {
    const image = scene.images[scene.layers[number].image];
    outlines[number] = new MiHATP.outlines.Outlines(data, image.width / image.size[0]);
    compare.setOutlines(outlines);
  };

  function connectViewer() {
    const viewer = compare.main.viewer;
    const ruler = () => MiHATP.ruler.draw({ px: pixel(), hasMpp });
    viewer.addHandler("update-viewport", ruler);
    viewer.addHandler("animation-finish", remember);
    new OpenSeadragon.MouseTracker({
      element: viewer.container,
      moveHandler: (event) => {
        const at = viewport().pointFromPixel(event.position, true);
        MiHATP.ruler.place({ x: at.x * units, y: at.y * units }, hasMpp);
      },
      leaveHandler: () => MiHATP.ruler.place(null),
    });
    addEventListener("hashchange", (event) => {
      const given = read(new URL(event.newURL).hash); // the end of an animation may have changed the address again
      change(given);
      visit(given);
    });
  }

  async function start() {
    MiHATP.controls.fill(scene);
    compare = new MiHATP.Compare(document.getElementById("panes"), scene, MiHATP.controls.say);
    MiHATP.compare = compare;
    await compare.open();
    const given = read(location.hash);
    Object.assign(settings, given);
    const whole = () => compare.main.items[settings.left].getBounds(true)
      .union(compare.main.items[settings.right].getBounds(true));
    const fit = () => viewport().fitBounds(whole(), false);
    viewport().fitBounds(whole(), true);
    MiHATP.controls.connect(scene, {
      change, toggle, fit, oneToOne, blink,
      zoom: (factor) => viewport().zoomBy(factor),
      settings: () => settings,
    });
    connectViewer();
    visit(given);
    change(given);
  }

  start().catch((error) => MiHATP.controls.say(`The view cannot be shown: ${error.message}`));
})();
