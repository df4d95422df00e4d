// The roofline explorer: a log-log plot of the machines' ceilings and one layer under them.
({Figure, el, svg, fmt, row, choose}) => {
  const [W, H, LEFT, RIGHT, TOP, LOW] = [440, 312, 56, 10, 24, 40];
  const DASH = ["", "7 4", "2 3", "8 3 2 3", "1 4"];
  const scaled = (v, units) => {
    const [unit, name] = units.find(([u]) => v >= u) || units.at(-1), w = v / unit;
    return `${fmt(w, w >= 100 ? 0 : w >= 10 ? 1 : 2)} ${name}`;
  };
  const amount = v => scaled(v, [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]]);
  const duration = v => scaled(v, [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]]);
  const comma = n => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  return class extends Figure {
    static css = `
      svg.plot{width:100%;max-width:36em;height:auto;margin:.6em auto 0}
      svg.plot text{font-size:12px}
      svg.plot .tick{fill:var(--quiet);font-size:11px}
      @container (max-width:26em){svg.plot text{font-size:15px}svg.plot .tick{font-size:14px}}
      .grid{stroke:var(--line);stroke-opacity:.5;stroke-width:.6}
      .roof{fill:none;stroke:currentColor;stroke-opacity:.45;stroke-width:1.6}
      .roof.on{stroke:var(--pos);stroke-opacity:1;stroke-width:3}
      .drop{stroke:var(--mark);stroke-width:1.2;stroke-dasharray:3 3}
      .at{fill:var(--mark)}
      .ridge{stroke:var(--pos);stroke-width:1;stroke-dasharray:1 3}
      select{max-width:100%}
      label{flex-wrap:wrap}
      .key{font-size:.88em;color:var(--quiet);display:flex;flex-wrap:wrap;gap:.1em 1.1em;margin:.3em 0 0}
      .key svg{width:2.2em;height:.7em;display:inline-block;vertical-align:.05em;margin-right:.4em}
      .live p{margin:.2em 0}`;
    build(spec) {
      Object.assign(this, spec);
      const set = key => v => { this[key] = key === "batch" ? +v : v; this.draw(); };
      this.format = el("span");
      this.box.append(row(choose("machine", Object.keys(this.machines), v => {
        this.machine = v;
        if (!(this.mode in this.machines[v].peaks)) this.mode = Object.keys(this.machines[v].peaks)[0];
        this.formats();
        this.draw();
      }, this.machine), this.format, choose("layer", Object.keys(this.layers), set("layer"), this.layer),
        choose("batch", this.batches.map(String), set("batch"), String(this.batch))));
      this.plot = svg("svg", {class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img"});
      this.key = el("p", {class: "key"});
      this.box.append(this.plot, this.key, this.live);
      this.formats();
    }
    formats() {
      this.format.replaceChildren(choose("format", Object.keys(this.machines[this.machine].peaks), v => {
        this.mode = v;
        this.draw();
      }, this.mode));
    }
    spot() {
      const [flop, inputs, outputs, weights] = this.layers[this.layer], b = this.sizes[this.mode];
      const {bandwidth, peaks} = this.machines[this.machine], peak = peaks[this.mode];
      const operations = this.batch * flop, bytes = b * (this.batch * (inputs + outputs) + weights);
      const intensity = operations / bytes, ridge = peak / bandwidth, rate = Math.min(peak, intensity * bandwidth);
      return {operations, bytes, intensity, ridge, rate, seconds: operations / rate / 1e9,
        bound: intensity >= ridge ? "arithmetic" : "memory"};
    }
    draw() {
      const s = this.output = this.spot(), all = Object.entries(this.machines);
      const [x0, x1] = [-5, 13];
      const y0 = Math.floor(Math.log10(Math.min(...all.map(([, m]) => m.bandwidth / 32))));
      const y1 = Math.log10(Math.max(...all.flatMap(([, m]) => Object.values(m.peaks)))) + 0.3;
      const px = v => LEFT + (Math.log2(v) - x0) / (x1 - x0) * (W - LEFT - RIGHT);
      const py = v => H - LOW - (Math.log10(v) - y0) / (y1 - y0) * (H - LOW - TOP);
      const line = (cls, a, b, c, d) => svg("line", {class: cls, x1: a, y1: b, x2: c, y2: d});
      const text = (x, y, t, anchor = "middle", cls = null) => svg("text", {x, y, "text-anchor": anchor, class: cls}, t);
      const roof = m => {
        const peak = m.peaks[this.mode] || m.peaks.float32 || Object.values(m.peaks)[0], ridge = peak / m.bandwidth;
        return `M${px(1 / 32).toFixed(1)} ${py(m.bandwidth / 32).toFixed(1)}L${px(ridge).toFixed(1)} ${py(peak).toFixed(1)}H${W - RIGHT}`;
      };
      const parts = [];
      for (let k = x0 + 1; k < x1; k += 2) {
        parts.push(line("grid", px(2 ** k), TOP, px(2 ** k), H - LOW));
        if (k % 4 === 0) parts.push(text(px(2 ** k), H - LOW + 15, k < 0 ? `1/${2 ** -k}` : comma(2 ** k), "middle", "tick"));
      }
      for (let k = Math.ceil(y0); k < y1; k++) {
        parts.push(line("grid", LEFT, py(10 ** k), W - RIGHT, py(10 ** k)), text(LEFT - 5, py(10 ** k) + 4, amount(10 ** (k + 9)), "end", "tick"));
      }
      parts.push(text((LEFT + W - RIGHT) / 2, H - 5, "FLOP per byte"), text(2, 12, "FLOP/s", "start"));
      all.forEach(([name, m], n) => name !== this.machine && parts.push(svg("path", {class: "roof", d: roof(m), "stroke-dasharray": DASH[(n + 1) % 5]})));
      const at = Math.max(2 ** x0, Math.min(2 ** x1, s.intensity)), right = Math.log2(at) > 8;
      parts.push(svg("path", {class: "roof on", d: roof(this.machines[this.machine])}), line("ridge", px(s.ridge), py(s.ridge * this.machines[this.machine].bandwidth), px(s.ridge), H - LOW),
        line("drop", px(at), py(s.rate), px(at), H - LOW), svg("circle", {class: "at", cx: px(at), cy: py(s.rate), r: 5.5}),
        text(px(at) + (right ? -9 : 9), py(s.rate) + 19, `${amount(1e9 * s.rate)}FLOP/s`, right ? "end" : "start"));
      this.plot.setAttribute("aria-label", `Roofline of ${this.machine}, ${this.mode}, from ${amount(1e9 * this.machines[this.machine].bandwidth)}B/s to ` +
        `${amount(1e9 * this.machines[this.machine].peaks[this.mode])}FLOP/s, ridge at ${fmt(s.ridge, 2)}; the layer stands at ${fmt(s.intensity, 2)} FLOP per byte, bound by ${s.bound}`);
      this.plot.replaceChildren(...parts);
      this.key.replaceChildren(...all.map(([name], n) => el("span", {}, svg("svg", {viewBox: "0 0 30 8", "aria-hidden": "true"},
        svg("path", {class: name === this.machine ? "roof on" : "roof", d: "M1 4H29", "stroke-dasharray": name === this.machine ? "" : DASH[(n + 1) % 5]})), name)));
      const [flop, inputs, outputs, weights] = this.layers[this.layer], b = this.sizes[this.mode];
      const p = (...kids) => el("p", {}, ...kids), n = this.batch;
      this.say(p(`Operations: ${n > 1 ? `${n} × ` : ""}${amount(flop)}FLOP = ${amount(s.operations)}FLOP. `),
        p(`Bytes: ${b} × (${n} × (${comma(inputs)} + ${comma(outputs)}) + ${comma(weights)}) = ${amount(s.bytes)}B. `),
        p(`Intensity: ${fmt(s.intensity, 2)} FLOP per byte; the ridge is at ${fmt(s.ridge, 2)}. `,
          el("b", {}, `Bound by ${s.bound}`), `: at most ${amount(1e9 * s.rate)}FLOP/s, at least ${duration(s.seconds)}.`));
    }
  };
}
