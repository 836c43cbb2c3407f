/* The bar, the curtain's handle and the keys. They call `change(settings)` and actions, and show the settings. */
"use strict";

MiHATP.controls = (() => {
  const get = (id) => document.getElementById(id);
  const STEP = 0.02; // of the curtain or the opacity, for one key

  function fill(scene) {
    for (const id of ["left", "right"]) {
      scene.images.forEach((image, number) => get(id).add(new Option(image.name, number)));
    }
    scene.layers.forEach((layer, number) => {
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox", value: number });
      label.append(box, ` ${layer.name}`);
      get("layer-list").append(label);
    });
    get("layers").hidden = !scene.layers.length;
    document.body.classList.toggle("single", scene.images.length < 2);
    document.title = `${scene.images.map((image) => image.name).join(" | ")} – MiHATP view`;
  }

  function connect(scene, { change, toggle, zoom, fit, oneToOne, blink, settings }) {
    for (const id of ["left", "right"]) get(id).addEventListener("change", () => change({ [id]: Number(get(id).value) }));
    get("modes").addEventListener("change", (event) => change({ mode: event.target.value }));
    get("opacity").addEventListener("input", () => change({ opacity: get("opacity").value / 100 }));
    get("layer-opacity").addEventListener("input", () => change({ layerOpacity: get("layer-opacity").value / 100 }));
    get("layer-list").addEventListener("change", () => {
      const checked = [...get("layer-list").querySelectorAll(":checked")].map((box) => Number(box.value));
      change({ layers: checked });
    });
    get("zoom-in").addEventListener("click", () => zoom(1.5));
    get("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
    get("fit").addEventListener("click", fit);
    get("one").addEventListener("click", oneToOne);
    get("smooth").addEventListener("click", () => toggle("smooth"));
    get("theme").addEventListener("click", () => toggle("theme"));
    get("close-message").addEventListener("click", () => { get("message").hidden = true; });
    get("help").addEventListener("click", () => get("keys").showModal());
    connectCurtain(change);
    connectKeys({ change, toggle, zoom, fit, oneToOne, blink, settings });
  }

  function connectCurtain(change) {
    const handle = get("curtain");
    const panes = get("panes");
    const move = (event) => {
      const box = panes.getBoundingClientRect();
      change({ curtain: Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) });
    };
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      event.preventDefault();
    });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) move(event);
    });
  }

  function connectKeys({ change, toggle, zoom, fit, oneToOne, blink, settings }) {
    const slide = (by) => {
      const name = settings().mode === "overlay" ? "opacity" : "curtain";
      change({ [name]: Math.min(1, Math.max(0, settings()[name] + by)) });
    };
    const pan = (x, y) => MiHATP.compare.main.viewer.viewport.panBy(
      MiHATP.compare.main.viewer.viewport.deltaPointsFromPixels(new OpenSeadragon.Point(x, y)));
    const keys = {
      " ": blink,
      c: () => change({ mode: "curtain" }),
      s: () => change({ mode: "side" }),
      b: () => change({ mode: "blink" }),
      o: () => change({ mode: "overlay" }),
      "[": () => slide(-STEP),
      "]": () => slide(STEP),
      "+": () => zoom(1.5),
      "=": () => zoom(1.5),
      "-": () => zoom(1 / 1.5),
      0: fit,
      1: oneToOne,
      x: () => change({ left: settings().right, right: settings().left }),
      l: () => toggle("layers"),
      i: () => toggle("smooth"),
      t: () => toggle("theme"),
      h: () => get("keys").showModal(),
      "?": () => get("keys").showModal(),
      ArrowLeft: () => pan(-80, 0),
      ArrowRight: () => pan(80, 0),
      ArrowUp: () => pan(0, -80),
      ArrowDown: () => pan(0, 80),
    };
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || get("keys").open) return;
      if (event.target.matches("select, input[type=range], input[type=radio]") && event.key.startsWith("Arrow")) return;
      if (event.target.matches("select")) return;
      if (event.key === " " && event.target.matches("input[type=checkbox]:focus-visible")) return; // reached by keys
      if (event.target === get("curtain") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
        event.preventDefault();
        slide(event.key === "ArrowLeft" ? -STEP : STEP);
        return;
      }
      const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!action) return;
      event.preventDefault(); // a space would press the focused button
      action();
    });
  }

  /** Show the settings in the controls. */
  function show(settings) {
    get("left").value = settings.left;
    get("right").value = settings.right;
    const mode = document.querySelector(`#modes input[value="${settings.mode}"]`);
    mode.checked = true;
    get("opacity").value = Math.round(100 * settings.opacity);
    get("opacity-row").hidden = settings.mode !== "overlay";
    get("layer-opacity").value = Math.round(100 * settings.layerOpacity);
    get("layer-list").querySelectorAll("input").forEach((box) => {
      box.checked = settings.layers.includes(Number(box.value));
    });
    get("smooth").setAttribute("aria-pressed", String(settings.smooth));
    if (settings.theme) document.documentElement.dataset.theme = settings.theme;
    const curtain = get("curtain");
    curtain.hidden = settings.mode !== "curtain" || settings.left === settings.right;
    curtain.style.left = `${100 * settings.curtain}%`;
    curtain.setAttribute("aria-valuenow", String(Math.round(100 * settings.curtain)));
  }

  function say(text) {
    get("message").firstElementChild.textContent = text;
    get("message").hidden = false;
  }

  return { fill, connect, show, say };
})();
