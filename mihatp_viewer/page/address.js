/* The view in the address: #x=…&y=…&px=… (centre in µm and µm of a screen pixel, or px of the first image) and the choices. */
"use strict";
var MiHATP = window.MiHATP || {};

MiHATP.address = (() => {
  const numbers = { x: 1, y: 1, px: 5, left: 0, right: 0, curtain: 3, opacity: 2, layerOpacity: 2 };
  const words = { mode: ["curtain", "side", "blink", "overlay"], smooth: ["0", "1"], theme: ["light", "dark"] };

  /** The valid settings of an address; the others are left out. `images` and `layers`: how many there are. */
  function read(hash, images, layers) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const settings = {};
    const farthest = 1e9; // µm or px; no slide is so large
    for (const name of Object.keys(numbers)) {
      const text = given.get(name);
      const value = Number(text);
      if (text === null || text.trim() === "" || !(Math.abs(value) <= farthest)) continue;
      settings[name] = value;
    }
    for (const name of ["left", "right"]) {
      const value = settings[name];
      if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= images)) delete settings[name];
      else if (value !== undefined) settings[name] = value - 1;
    }
    for (const name of ["curtain", "opacity", "layerOpacity"]) {
      if (name in settings) settings[name] = Math.min(1, Math.max(0, settings[name]));
    }
    if (!(settings.px > 0)) delete settings.px;
    for (const [name, choices] of Object.entries(words)) {
      if (choices.includes(given.get(name))) settings[name] = given.get(name);
    }
    if ("smooth" in settings) settings.smooth = settings.smooth === "1";
    if (given.has("layers")) {
      const shown = given.get("layers").split(",").map((at) => Number(at) - 1);
      settings.layers = shown.filter((at) => Number.isInteger(at) && at >= 0 && at < layers);
    }
    return settings;
  }

  function write(settings) {
    const parts = [];
    for (const [name, digits] of Object.entries(numbers)) {
      if (settings[name] === undefined) continue;
      const value = name === "left" || name === "right" ? settings[name] + 1 : settings[name];
      parts.push(`${name}=${Number(value.toFixed(digits))}`);
    }
    parts.push(`mode=${settings.mode}`, `smooth=${settings.smooth ? 1 : 0}`);
    if (settings.theme) parts.push(`theme=${settings.theme}`);
    parts.push(`layers=${settings.layers.map((at) => at + 1).join(",")}`);
    return `#${parts.join("&")}`;
  }

  return { read, write };
})();
