/* Outlines of a layer, drawn on a canvas above a pane. Only the outlines in view are drawn. */
"use strict";

MiHATP.outlines = (() => {
  const COLOURS = ["#00c853", "#ff4d4d", "#3d8bff", "#ffb300", "#c158dc", "#00bcd4", "#ff7043", "#9e9e9e"];
  const SMALLEST = 1.5; // screen px; a smaller outline becomes a dot
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
      const paths = new Map();
      for (const number of this.inside(box)) {
        const one = this.rings[number];
        if (!meets(one.box, box)) continue;
        if (!paths.has(one.kind)) paths.set(one.kind, new Path2D());
        const path = paths.get(one.kind);
        if (Math.max(one.box[2] - one.box[0], one.box[3] - one.box[1]) * scale < SMALLEST) {
          path.rect(one.box[0] * scale + x, one.box[1] * scale + y, 1, 1);
          continue;
        }
        one.points.forEach((at, index) => {
          if (index % 2) return;
          const point = [at * scale + x, one.points[index + 1] * scale + y];
          if (index) path.lineTo(...point);
          else path.moveTo(...point);
        });
        path.closePath();
      }
      for (const [kind, path] of paths) {
        context.strokeStyle = COLOURS[kind % COLOURS.length];
        context.stroke(path);
      }
    }
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
