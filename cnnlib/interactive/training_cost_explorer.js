// The training-cost explorer: hours against GPUs on two logarithmic axes, ideal and with the exchange of gradients.
({Figure, el, svg, fmt, row, choose, slider}) => {
  const [W, H, LEFT, RIGHT, TOP, LOW] = [440, 270, 66, 26, 24, 40];
  const duration = h => {
    for (const [unit, name] of [[24 * 365.25, "years"], [24, "days"], [1, "hours"]]) if (h >= unit) return `${fmt(h / unit, 1)} ${name}`;
    return `${fmt(h * 60, 1)} minutes`;
  };
  return class extends Figure {
    static css = `
      .knobs{display:grid;grid-template-columns:1fr 1fr;gap:.1em 1.6em;margin:.4em 0}
      .knobs .slider{grid-template-columns:8.6em 1fr auto}
      @container (max-width:36em){.knobs{grid-template-columns:1fr}}
      svg.plot{width:100%;max-width:36em;height:auto;margin:.6em auto 0}
      svg.plot text{font-size:12px}
      svg.plot .tick{fill:var(--quiet);font-size:11px}
      @container (max-width:26em){svg.plot text{font-size:15px}svg.plot .tick{font-size:14px}}
      .grid{stroke:var(--line);stroke-opacity:.5;stroke-width:.6}
      .ideal{fill:none;stroke:currentColor;stroke-opacity:.6;stroke-dasharray:5 4;stroke-width:1.5}
      .real{fill:none;stroke:var(--pos);stroke-width:2.6}
      .drop{stroke:var(--mark);stroke-dasharray:3 3}
      .at{fill:var(--mark)}
      .key{font-size:.88em;color:var(--quiet);display:flex;flex-wrap:wrap;gap:.1em 1.1em;margin:.3em 0 0}
      .key svg{width:2.2em;height:.7em;display:inline-block;vertical-align:.05em;margin-right:.4em}
      .live p{margin:.2em 0}`;
    build(spec) {
      Object.assign(this, spec);
      const set = (key, number) => v => { this[key] = number ? +v : v; this.draw(); };
      const knob = (key, text, step) => slider(text, {min: this.ranges[key][0], max: this.ranges[key][1], step, value: this.values[key]},
        v => { this.values[key] = v; this.draw(); });
      this.plot = svg("svg", {class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img"});
      const line = (cls, text) => el("span", {}, svg("svg", {viewBox: "0 0 30 8", "aria-hidden": "true"}, svg("path", {class: cls, d: "M1 4H29"})), text);
      this.box.append(row(choose("network", Object.keys(this.networks), set("network"), this.network),
        choose("GPUs", this.all.map(String), set("gpus", true), String(this.gpus)),
        choose("link in Gbit/s", this.links.map(String), set("link", true), String(this.link))),
      el("div", {class: "knobs"}, knob("rate", "images/s per GPU", 1), knob("batch", "batch per GPU", 1), knob("epochs", "epochs", 1),
        knob("price", "price per hour", 0.1), knob("watts", "watts per GPU", 10)),
      this.plot, el("p", {class: "key"}, line("real", "with the exchange"), line("ideal", "if the exchange took no time")), this.live);
    }
    run(n) {
      const v = this.values, compute = v.batch / v.rate, size = 4 * this.networks[this.network];
      const exchange = 2 * (n - 1) * (size / (n * this.link * 1e9 / 8) + this.latency);
      const hours = this.images * v.epochs / (n * v.batch) * (compute + exchange) / 3600;
      return {compute, exchange, efficiency: compute / (compute + exchange), hours, money: hours * n * v.price, kwh: hours * n * v.watts / 1000};
    }
    draw() {
      const n = this.gpus, v = this.values, r = this.output = this.run(n), ideal = m => this.run(1).hours / m;
      const runs = this.all.map(m => [m, this.run(m).hours]), last = this.all.at(-1);
      const y0 = Math.floor(Math.log10(ideal(last))), y1 = Math.ceil(Math.log10(Math.max(...runs.map(([, h]) => h))));
      const px = m => LEFT + Math.log2(m) / Math.log2(last) * (W - LEFT - RIGHT);
      const py = h => H - LOW - (Math.log10(h) - y0) / (y1 - y0) * (H - LOW - TOP);
      const text = (x, y, t, anchor = "middle", cls = null) => svg("text", {x, y, "text-anchor": anchor, class: cls}, t);
      const path = (cls, points) => svg("path", {class: cls, d: "M" + points.map(([m, h]) => `${px(m).toFixed(1)} ${py(h).toFixed(1)}`).join("L")});
      const parts = [text((LEFT + W - RIGHT) / 2, H - 5, "GPUs"), text(2, 12, "hours", "start")];
      for (const m of this.all.filter((_, k) => k % 2 === 0)) parts.push(svg("line", {class: "grid", x1: px(m), y1: TOP, x2: px(m), y2: H - LOW}), text(px(m), H - LOW + 15, String(m), "middle", "tick"));
      const every = Math.max(1, Math.ceil((y1 - y0) / 6));
      for (let k = y0; k <= y1; k += every) parts.push(svg("line", {class: "grid", x1: LEFT, y1: py(10 ** k), x2: W - RIGHT, y2: py(10 ** k)}), text(LEFT - 6, py(10 ** k) + 4, k < 0 ? String(+(10 ** k).toFixed(-k)) : String(10 ** k).replace(/\B(?=(\d{3})+$)/g, ","), "end", "tick"));
      const low = Math.log2(n) > 6;
      parts.push(path("ideal", this.all.map(m => [m, ideal(m)])), path("real", runs),
        svg("line", {class: "drop", x1: px(n), y1: py(r.hours), x2: px(n), y2: H - LOW}), svg("circle", {class: "at", cx: px(n), cy: py(r.hours), r: 5.5}),
        text(px(n) + (low ? -4 : 10), py(r.hours) - 10, duration(r.hours), low ? "end" : "start"));
      this.plot.setAttribute("aria-label", `Hours against GPUs from 1 to ${last}: ${duration(runs[0][1])} on one, ${duration(r.hours)} on ${n}, ${duration(runs.at(-1)[1])} on ${last}`);
      this.plot.replaceChildren(...parts);
      const p = t => el("p", {}, t), steps = this.images * v.epochs / (n * v.batch);
      this.say(p(`A step: ${fmt(1000 * r.compute, 1)} ms of computing, ${fmt(1000 * r.exchange, 1)} ms of adding up ${fmt(4 * this.networks[this.network] / 1e6, 1)} MB of gradients: efficiency ${fmt(100 * r.efficiency, 1)} %.`),
        p(`${fmt(this.images * v.epochs / 1e6, 1)} million images in batches of ${n} × ${fmt(v.batch)} = ${fmt(n * v.batch)}: ${fmt(steps, 0)} steps, ${duration(r.hours)}.`),
        p(`${fmt(r.hours * n, 1)} GPU hours: ${fmt(r.money, 0)} at ${fmt(v.price, 2)} each, and ${fmt(r.kwh, 0)} kWh.`));
    }
  };
}
