// An activation function with its tangent, and its slope as a second curve below.
({Figure, el, svg, fmt, row, choose, slider}) => {
  const sigmoid = x => 1 / (1 + Math.exp(-x));
  // f: value, d: slope, most: the largest slope, y: what the plot shows from bottom to top.
  const KINDS = {
    relu: {f: x => Math.max(x, 0), d: x => x > 0 ? 1 : 0, most: 1, y: [-2, 6], ticks: [0, 2, 4, 6],
      rule: x => x > 0 ? "x is positive and passes unchanged" : "x is not positive, so the unit is off"},
    "leaky relu": {f: x => x > 0 ? x : 0.1 * x, d: x => x > 0 ? 1 : 0.1, most: 1, y: [-2, 6], ticks: [0, 2, 4, 6],
      rule: x => x > 0 ? "x is positive and passes unchanged" : "x is not positive, a tenth of it passes"},
    sigmoid: {f: sigmoid, d: x => Math.exp(-x) / (1 + Math.exp(-x)) ** 2, most: 0.25, y: [-0.3, 1.3], ticks: [0, 0.5, 1],
      rule: x => `slope = y (1 − y) = ${fmt(sigmoid(x))} × ${fmt(sigmoid(-x))}`},
    tanh: {f: Math.tanh, d: x => 1 / Math.cosh(x) ** 2, most: 1, y: [-1.5, 1.5], ticks: [-1, 0, 1],
      rule: x => `slope = 1 − y² = 1 − ${fmt(Math.tanh(x) ** 2)}`},
  };
  const [W, LEFT, RIGHT] = [420, 38, 8], UPPER = [12, 178], LOWER = [212, 282];
  return class extends Figure {
    static css = `
      svg{width:100%;max-width:34em;height:auto;cursor:crosshair;touch-action:pan-y}
      svg text{font-size:12px}
      @container (max-width:24em){svg text{font-size:15px}}
      .axis{stroke:var(--line);fill:none}
      .curve{stroke:var(--pos);stroke-width:2.5;fill:none}
      .slope{stroke:var(--neg);stroke-width:2.5;fill:none}
      .tangent{stroke:var(--mark);stroke-width:2;stroke-dasharray:6 4}
      .at{fill:var(--mark)}
      .down{stroke:var(--mark);stroke-width:1;stroke-dasharray:2 3}
      .flat{fill:color-mix(in srgb,currentColor 10%,transparent)}
      .sliders{width:100%;max-width:34em}
      .key{font-size:.9em;color:var(--quiet);display:flex;flex-wrap:wrap;gap:.2em 1.1em;margin:.3em 0 0}
      .key i{display:inline-block;width:1.5em;border-top:3px solid;margin-right:.4em;vertical-align:.25em}
      .key i.band{border:1px solid var(--line);height:.8em;vertical-align:-.05em;background:color-mix(in srgb,currentColor 10%,transparent)}`;
    build({name, x, reach, depth}) {
      Object.assign(this, {name, x, reach, depth});
      this.plot = svg("svg", {viewBox: `0 0 ${W} 300`, role: "img"});
      const follow = e => {
        const b = this.plot.getBoundingClientRect();
        const at = ((e.clientX - b.left) / b.width * W - LEFT) / (W - LEFT - RIGHT);
        this.go(Math.round((2 * at - 1) * reach * 10) / 10);
      };
      this.plot.addEventListener("pointerdown", follow);
      this.plot.addEventListener("pointermove", e => e.buttons && follow(e));
      const kinds = choose("function", Object.keys(KINDS), v => { this.name = v; this.draw(); }, name);
      this.move = slider("x", {min: -reach, max: reach, step: 0.1, value: x}, v => { this.x = v; this.draw(); });
      const key = (style, text, band) => el("span", {}, el("i", {style, class: band ? "band" : null}), text);
      this.box.append(row(kinds), this.plot,
        el("p", {class: "key", "aria-hidden": "true"}, key("color:var(--pos)", "value f(x)"), key("color:var(--neg)", "slope f′(x)"),
          key("color:var(--mark);border-top-style:dashed", "tangent"), key("", "saturated: slope below a tenth of its largest", true)),
        el("div", {class: "sliders"}, this.move), this.live);
    }
    go(x) {
      this.x = Math.max(-this.reach, Math.min(this.reach, x)) || 0;
      this.move.set(this.x);
      this.draw();
    }
    draw() {
      const {x, reach, depth} = this, kind = KINDS[this.name], [lo, hi] = kind.y;
      const px = v => LEFT + (v + reach) / (2 * reach) * (W - LEFT - RIGHT);
      const py = v => UPPER[1] - (v - lo) / (hi - lo) * (UPPER[1] - UPPER[0]);
      const ps = v => LOWER[1] - v / kind.most * (LOWER[1] - LOWER[0]) * 0.92;
      const steps = Array.from({length: 241}, (_, n) => -reach + n * reach / 120);
      // A jump of the slope is drawn as a jump: the path starts anew.
      const path = (f, to) => steps.map((v, n) =>
        `${n && Math.abs(f(v) - f(steps[n - 1])) < 0.3 * kind.most ? "L" : "M"}${px(v).toFixed(1)} ${to(f(v)).toFixed(1)}`).join("");
      const y = kind.f(x), slope = kind.d(x), flat = v => kind.d(v) < kind.most / 10;
      const ends = [-reach, reach].map(v => {
        if (!slope) return [v, y];
        const t = Math.max(lo, Math.min(hi, y + slope * (v - x)));
        return [x + (t - y) / slope, t];
      });
      const line = (cls, x1, y1, x2, y2) => svg("line", {class: cls, x1, y1, x2, y2});
      const text = (tx, ty, s, anchor = "middle") => svg("text", {x: tx, y: ty, "text-anchor": anchor}, s);
      const bands = steps.slice(1).map((v, n) => [steps[n], v]).filter(([a, b]) => flat((a + b) / 2))
        .reduce((out, [a, b]) => {
          if (out.length && out.at(-1)[1] === a) out.at(-1)[1] = b; else out.push([a, b]);
          return out;
        }, []);
      this.plot.replaceChildren(
        ...bands.map(([a, b]) => svg("rect", {class: "flat", x: px(a), y: UPPER[0], width: px(b) - px(a), height: LOWER[1] - UPPER[0]})),
        line("axis", LEFT, py(0), W - RIGHT, py(0)), line("axis", px(0), UPPER[0], px(0), LOWER[1]), line("axis", LEFT, ps(0), W - RIGHT, ps(0)),
        ...kind.ticks.map(v => text(LEFT - 6, py(v) + 4, fmt(v), "end")),
        ...[0, kind.most].map(v => text(LEFT - 6, ps(v) + 4, fmt(v), "end")),
        ...[-6, -4, -2, 0, 2, 4, 6].map(v => text(Math.min(px(v), W - 14), 298, fmt(v))),
        svg("path", {class: "curve", d: path(kind.f, py)}), svg("path", {class: "slope", d: path(kind.d, ps)}),
        line("down", px(x), py(y), px(x), ps(slope)),
        line("tangent", px(ends[0][0]), py(ends[0][1]), px(ends[1][0]), py(ends[1][1])),
        svg("circle", {class: "at", cx: px(x), cy: py(y), r: 5}), svg("circle", {class: "at", cx: px(x), cy: ps(slope), r: 4}));
      this.plot.setAttribute("aria-label", `${this.name}: value ${fmt(y)} and slope ${fmt(slope)} at x = ${fmt(x)}`);
      this.say(el("b", {}, `f(${fmt(x)}) = ${fmt(y)}, slope ${fmt(slope)}`), flat(x) ? " — saturated. " : ". ", `${kind.rule(x)}. `,
        `A gradient of 1 becomes ${fmt(slope)}; after ${depth} layers with this slope ${fmt(slope ** depth)} is left.`);
    }
  };
}
