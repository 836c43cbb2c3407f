/* The scale bar, the magnification, and the place of the pointer. */
"use strict";

MiHATP.ruler = (() => {
  const WIDEST = 140; // screen px

  /** The largest of 1, 2, 5, 10, … that is at most `most`. */
  function round(most) {
    const power = 10 ** Math.floor(Math.log10(most));
    return [5, 2, 1].map((digit) => digit * power).find((value) => value <= most * (1 + 1e-9));
  }

  function length(value, unit) {
    if (unit === "µm" && value >= 1000) return `${Number((value / 1000).toPrecision(6))} mm`;
    return `${Number(value.toPrecision(6))} ${unit}`;
  }

  /** Draw for `px`: µm of a screen pixel, or px of the first image where its resolution is unknown. */
  function draw({ px, hasMpp }) {
    const unit = hasMpp ? "µm" : "px";
    const value = round(WIDEST * px);
    document.querySelector("#ruler i").style.width = `${value / px}px`;
    document.querySelector("#ruler b").textContent = length(value, unit);
    document.getElementById("magnification").textContent =
      hasMpp ? `${Number((10 / px).toPrecision(3))}×` : `${Number((100 / px).toPrecision(3))} %`;
  }

  function place(at, hasMpp) {
    const text = at === null ? "" : `x ${at.x.toFixed(hasMpp ? 1 : 0)}, y ${at.y.toFixed(hasMpp ? 1 : 0)} ${hasMpp ? "µm" : "px"}`;
    document.getElementById("place").textContent = text;
  }

  return { draw, place, round };
})();
