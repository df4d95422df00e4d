// The output-size explorer: one axis of the input as a row of cells, every window that fits below it.
({Figure, el, svg, bar, button, fmt, slider, size}) => class extends Figure {
  static css = `.cols{display:grid;grid-template-columns:1fr 1fr;gap:.1em 1.6em}
    @container (max-width:36em){.cols{grid-template-columns:1fr}}
    svg.axis{width:100%;height:auto;margin:.8em auto .2em}
    .px{fill:color-mix(in srgb,var(--pos) 30%,transparent);stroke:var(--line)}
    .zero{fill:none;stroke:currentColor;stroke-dasharray:2 1.5;stroke-opacity:.6}
    .tap{fill:currentColor;fill-opacity:.42}
    .on{fill:var(--mark);fill-opacity:1}
    .res{fill:color-mix(in srgb,var(--good) 45%,transparent);stroke:var(--line)}
    .res.on{fill:var(--mark)}
    .span{stroke:currentColor;stroke-opacity:.35}
    .un{stroke:var(--neg);stroke-width:1.4}
    .off{fill:var(--neg)}
    .lost{fill:color-mix(in srgb,var(--neg) 22%,transparent)}
    .key{gap:.2em 1.1em;font-size:.86em;color:var(--quiet)}
    .key svg{width:1.1em;height:1.1em;overflow:visible;margin-right:.35em;display:inline-block;vertical-align:-.15em}
    .formula{font-size:1.06em}.formula b{font-size:1.12em}.live p{margin:.15em 0}`;
  build({values, ranges}) {
    this.v = values;
    this.o = 0;
    this.hint.textContent = "one axis; height and width work alike";
    const names = {n: "input n", kernel: "kernel k", stride: "stride s", padding: "padding p", dilation: "dilation d"};
    this.sliders = Object.fromEntries(Object.entries(names).map(([k, text]) => [k,
      slider(text, {min: ranges[k][0], max: ranges[k][1], value: values[k]}, v => {
        values[k] = v;
        this.draw();
      })]));
    this.which = slider("show window", {min: 0, max: 1, value: 0}, v => {
      this.o = v;
      this.draw();
    });
    this.art = el("div");
    this.same = button("", () => {
      values.padding = this.half;
      this.sliders.padding.set(this.half);
      this.draw();
    });
    const c = (kind, text) => el("span", {}, svg("svg", {viewBox: "0 0 10 10", "aria-hidden": "true"}, ...this.cell(0, 0, kind)), text);
    this.box.append(el("div", {class: "cols"}, ...Object.values(this.sliders), this.which), this.art,
      el("div", {class: "row key"}, c("px", "pixel"), c("zero", "padding"), c("tap on", "window shown"), c("res", "output"), c("px un", "never read")),
      this.live, bar(this.same));
  }
  cell(x, y, kind, w = 10, h = 10) {
    const parts = [svg("rect", {x: x + .5, y: y + .5, width: w - 1, height: h - 1, rx: 1, class: kind.replace("un", "lost")})];
    if (kind.includes("un")) parts.push(svg("path", {class: "un", d: `M${x + 2} ${y + 8}L${x + 8} ${y + 2}`}));
    return parts;
  }
  draw() {
    const {n, kernel: k, stride: s, padding: p, dilation: d} = this.v;
    const total = n + 2 * p, span = d * (k - 1) + 1, out = this.output = Math.max(0, size(n, k, s, p, d));
    const o = this.o = Math.max(0, Math.min(out - 1, this.o));
    const taps = w => Array.from({length: k}, (_, u) => w * s + u * d);
    const read = new Set(), now = new Set(out ? taps(o) : []);
    for (let w = 0; w < out; w++) taps(w).forEach(t => read.add(t));
    const max = Math.max(out - 1, 0);
    this.which.limit(0, max);
    this.which.set(o);

    const step = out ? Math.min(6, 3 * total / out) : 6, top = 14, base = top + step * Math.max(out, 1) + 3;
    const parts = [];
    for (let t = 0; t < total; t++) {
      const kind = t < p || t >= n + p ? "zero" : "px";
      parts.push(...this.cell(10 * t, 1, now.has(t) ? kind + " on" : !read.has(t) && out ? kind + " un" : kind));
    }
    const lines = (y, xs, kind, h) => [svg("path", {class: "span", d: `M${10 * xs[0] + 5} ${y + h / 2}H${10 * xs[k - 1] + 5}`, "stroke-width": h / 5}),
      ...xs.map(t => svg("rect", {x: 10 * t + 1, y: y + h * .12, width: 8, height: h * .76, rx: h / 6, class: kind}))];
    for (let w = 0; w < out; w++) {
      parts.push(...lines(top + w * step, taps(w), w === o ? "tap on" : "tap", step));
      parts.push(...this.cell(10 * (w * s + (span - 1) / 2), base, w === o ? "res on" : "res"));
    }
    if (!out) parts.push(...lines(top, taps(0), "off", step));
    const wide = Math.max(total, span) * 10, left = out ? total - ((out - 1) * s + span) : 0;
    const verdict = out ? `${out} windows fit` : "the kernel does not fit";
    this.art.replaceChildren(svg("svg", {class: "axis", viewBox: `0 0 ${wide} ${base + 11}`, role: "img", style: `max-width:${wide * 2.6}px`,
      "aria-label": `${n} pixels with ${p} zeros at each end, kernel of ${k} taps over ${span} positions: ${verdict}`}, ...parts));

    const inner = n + 2 * p - span;
    const lost = [...Array(total).keys()].filter(t => t >= p && t < n + p && !read.has(t)).length;
    const say = (...kids) => el("p", {}, ...kids);
    if (!out) {
      this.say(say(el("b", {}, "The kernel does not fit. ")), say(`With dilation ${d} its ${k} taps span ${d}·(${k} − 1) + 1 = ${span} positions; ` +
        `the padded input has ${n} + 2·${p} = ${total}. PyTorch raises an error here.`));
    } else {
      this.say(el("p", {class: "formula"}, `⌊(${n} + 2·${p} − ${d}·(${k} − 1) − 1) / ${s}⌋ + 1 = ⌊${inner} / ${s}⌋ + 1 = `, el("b", {}, String(out))),
        say(`A ${n} × ${n} input gives ${out} × ${out}. Output ${o} reads position${k > 1 ? "s" : ""} ${taps(o).map(t => fmt(t - p)).join(", ")}` +
          (p ? ` (below 0 or above ${n - 1} is padding).` : ".")),
        left || lost ? say(`Left over at the end: ${left}.` + (lost ? ` Pixels that no window reads: ${lost}.` : "")) : "");
    }
    const need = span - 1;
    this.half = need / 2;
    const limit = +this.sliders.padding.range.max;
    this.same.hidden = need % 2 > 0 || this.half > limit || p === this.half;
    this.same.textContent = s === 1 ? `“same” padding: p = ${this.half} keeps ${n}` : `“same” padding: p = ${this.half} gives ⌈${n} / ${s}⌉ = ${Math.ceil(n / s)}`;
    if (need % 2) this.live.append(el("p", {class: "note"}, `“Same” output would need ${need} zeros in all: an odd number, one side gets one more.`));
  }
}
