/* Outlines of a layer, drawn on a canvas above a pane. Only the outlines in view are drawn. */
"use strict";

MiHATP.outlines = (() => {
  const COLOURS = ["#00c853", "#ff4d4d", "#3d8bff", "#ffb300", "#c158dc", "#00bcd4", "#ff7043", "#9e9e9e"];
  const SMALLEST = 1.5; // screen px; a smaller outline becomes a dot
  const STEP = 1; // screen px; nearer points of an outline are left out
  const BATCH = 200; // outlines of a path: the time to stroke a path grows faster than its length
  const CELL = 1 / 64; // of the width of the first image: side of a cell of the index

  /** One layer: its rings in view coordinates, and an index of them. `width`: view units of a px of its image. */
  class Outlines {
    constructor(data, unit) {
      this.rings = data.rings.map(([kind, ...flat]) => ring(kind, flat, unit));
      this.classes = data.classes;
      this.cells = new Map();
      this.large = [];
      this.rings.forEach((one, number) => this.insert(one, number));
    }

    insert(one, number) {
      const [left, top, right, bottom] = one.box.map((at) => Math.floor(at / CELL));
      if ((right - left + 1) * (bottom - top + 1) > 64) {
        this.large.push(number);
        return;
      }
      for (let row = top; row <= bottom; row++) {
        for (let column = left; column <= right; column++) {
          const key = `${column},${row}`;
          if (!this.cells.has(key)) this.cells.set(key, []);
          this.cells.get(key).push(number);
        }
      }
    }

    /** The numbers of the rings that may lie in a box of the view. */
    inside(box) {
      const [left, top, right, bottom] = box.map((at) => Math.floor(at / CELL));
      const found = new Set(this.large);
      if ((right - left + 1) * (bottom - top + 1) > this.cells.size) {
        for (const numbers of this.cells.values()) numbers.forEach((at) => found.add(at));
        return found;
      }
      for (let row = top; row <= bottom; row++) {
        for (let column = left; column <= right; column++) {
          (this.cells.get(`${column},${row}`) || []).forEach((at) => found.add(at));
        }
      }
      return found;
    }

    /** Draw with `scale` and (x, y): screen px = view coordinate * scale + (x, y). */
    draw(context, { box, scale, x, y }) {
      const byClass = new Map();
      for (const number of this.inside(box)) {
        const one = this.rings[number];
        if (!meets(one.box, box)) continue;
        if (!byClass.has(one.kind)) byClass.set(one.kind, []);
        byClass.get(one.kind).push(one);
      }
      for (const [kind, rings] of byClass) {
        context.strokeStyle = context.fillStyle = COLOURS[kind % COLOURS.length];
        for (let first = 0; first < rings.length; first += BATCH) {
          context.beginPath();
          rings.slice(first, first + BATCH).forEach((one) => trace(context, one, scale, x, y));
          context.stroke();
        }
      }
    }
  }

  /** Add a ring to the path of `context`; a ring that is smaller than a screen px is filled at once. */
  function trace(context, { box, points }, scale, x, y) {
    if (Math.max(box[2] - box[0], box[3] - box[1]) * scale < SMALLEST) {
      context.fillRect(box[0] * scale + x, box[1] * scale + y, SMALLEST, SMALLEST);
      return;
    }
    let [lastX, lastY] = [points[0] * scale + x, points[1] * scale + y];
    context.moveTo(lastX, lastY);
    for (let at = 2; at < points.length; at += 2) {
      const [nextX, nextY] = [points[at] * scale + x, points[at + 1] * scale + y];
      if (Math.abs(nextX - lastX) < STEP && Math.abs(nextY - lastY) < STEP) continue;
      context.lineTo(nextX, nextY);
      [lastX, lastY] = [nextX, nextY];
    }
    context.closePath();
  }

  function ring(kind, flat, unit) {
    const points = Float64Array.from(flat, (at) => at * unit);
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    points.forEach((at, index) => {
      const side = index % 2;
      box[side] = Math.min(box[side], at);
      box[side + 2] = Math.max(box[side + 2], at);
    });
    return { kind, points, box };
  }

  function meets(one, other) {
    return one[0] <= other[2] && one[2] >= other[0] && one[1] <= other[3] && one[3] >= other[1];
  }

  return { Outlines, COLOURS };
})();
