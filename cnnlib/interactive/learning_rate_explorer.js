// Gradient descent on small loss surfaces: what the learning rate and momentum do.
({Figure, fmt, factor, el, svg, row, choose, slider}) => class extends Figure {
  static css = `
    .tight{gap:.4em}
    .plots{display:flex;flex-wrap:wrap;gap:.6em 1em}
    svg{flex:1 1 300px;min-width:0;max-width:460px;height:auto}
    .hit{cursor:crosshair;touch-action:manipulation}
    .frame{fill:none;stroke:var(--line)}
    text{fill:currentColor;font-size:12px;font-variant-numeric:tabular-nums}
    .lab{font-style:italic}
    polyline,.ring{fill:none;stroke:currentColor}
    .curve{stroke-width:2}.ring{stroke-opacity:.4}
    .tangent{stroke-dasharray:5 4;stroke-opacity:.7}
    .path{stroke:var(--pos);stroke-width:1.8}.later{stroke-opacity:.4;stroke-width:1.4;stroke-dasharray:2 3}
    .dot{fill:var(--pos)}.now{fill:var(--mark);stroke:Canvas;stroke-width:1.5}
    .knobs{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(16em,100%),1fr));gap:.3em 1.4em;margin:.6em 0}
    .knobs .slider{grid-template-columns:6.9em 1fr 4.6em;white-space:nowrap}.knobs .slider:last-child{grid-column:1/-1}
    .badge{display:inline-block;border:2px solid var(--line);border-radius:1em;padding:.1em .8em;margin:.2em 0}
    .badge[data-v=diverges]{border-color:var(--neg)}.badge[data-v=converges]{border-color:var(--pos)}`;
  build(spec) {
    const SURFACES = {
      quadratic: {title: "L(w) = w²", f: ([w]) => w*w, g: ([w]) => [2*w], x: [-4, 4], y: [0, 15], lr: 1.2},
      "two wells": {title: "L(w) = (w² − 1)² + 0.3w + 0.31", f: ([w]) => (w*w - 1)*(w*w - 1) + 0.3*w + 0.31,
        g: ([w]) => [4*w*(w*w - 1) + 0.3], x: [-2, 2], y: [0, 6], lr: 0.4},
      bowl: {title: "L(u, v) = (u² + 10v²) / 2", f: ([u, v]) => (u*u + 10*v*v)/2, g: ([u, v]) => [u, 10*v], x: [-5, 5], y: [-2.2, 2.2], lr: 0.25}};
    const N = spec.steps, W = 360, H = 250, at = {l: 46, r: 12, t: 22, b: 20}, sig = v => fmt(+v.toPrecision(4), 7);
    let kind = spec.surface, lr = spec.lr, mu = spec.momentum, start = [...spec.start], k = Math.min(4, N), run;
    const live = this.live, badge = el("strong", {class: "badge", role: "status"}), starts = el("span", {class: "row tight"}), title = el("span");
    const plot = svg("svg", {role: "img", viewBox: `0 0 ${W} ${H}`, class: "hit", onpointerdown: e => {
      const b = plot.getBoundingClientRect(), S = SURFACES[kind], u = (e.clientX - b.left)/b.width*W, v = (e.clientY - b.top)/b.height*H;
      const inv = (t, a, z, [lo, hi]) => +(lo + Math.max(0, Math.min(1, (t - a)/(z - a)))*(hi - lo)).toFixed(2);
      start = [inv(u, at.l, W - at.r, S.x), inv(v, H - at.b, at.t, S.y)].slice(0, start.length); fields(); simulate();
    }}), curve = svg("svg", {role: "img", viewBox: `0 0 ${W} ${H}`});
    const sLr = slider("learning rate", {min: 0, max: 1.2, step: 0.005, value: lr}, v => { lr = v; simulate(); });
    const sMu = slider("momentum", {min: 0, max: 0.95, step: 0.05, value: mu}, v => { mu = v; simulate(); });
    const sK = slider("step", {min: 0, max: N, value: k}, v => { this.stop(); k = v; simulate(); });
    const pick = choose("loss", Object.keys(SURFACES), v => { kind = v; ({lr, start} = spec.defaults[kind]); start = [...start]; limits(); simulate(); }, kind);
    const steps = this.player(d => { k = Math.max(0, this.timer && k >= N ? 0 : Math.min(N, k + d)); sK.set(k); simulate(); }, 350);
    const limits = () => { sLr.range.max = SURFACES[kind].lr; sLr.set(lr); fields(); };
    this.hint.append(title);
    this.box.append(row(pick, starts, el("span", {class: "row tight"}, ...steps)), el("div", {class: "knobs"}, sLr, sMu, sK),
      el("div", {class: "plots"}, plot, curve), badge, live);

    function fields() {
      starts.replaceChildren("start ", ...start.map((v, n) => el("input", {type: "number", step: "any", class: "num", value: v,
        "aria-label": start.length > 1 ? `start ${"uv"[n]}` : "start w", oninput: e => {
          const ok = e.target.value !== "" && Math.abs(+e.target.value) <= 100;
          e.target.setAttribute("aria-invalid", !ok);
          if (ok) { start[n] = +e.target.value; simulate(); }
        }})));
    }
    // The same loop as LearningRateExplorer.run in Python.
    function descend() {
      const {f, g} = SURFACES[kind], ws = [[...start]], gs = [], vs = [];
      let w = [...start], v = w.map(() => 0);
      for (let n = 0; n <= N; n++) {
        const d = g(w); gs.push(d);
        if (n === N) break;
        v = v.map((t, a) => mu*t + d[a]); w = w.map((t, a) => t - lr*v[a]);
        vs.push(v); ws.push(w);
      }
      const loss = ws.map(f), norm = d => Math.hypot(...d), moves = vs.filter(d => norm(d) > 1e-6*Math.max(...vs.map(norm)));
      const turns = moves.filter((d, n) => n && d.reduce((s, t, a) => s + t*moves[n - 1][a], 0) < 0).length;
      const settled = norm(gs[N]) <= 0.01*Math.max(1, norm(gs[0]));
      const verdict = !(loss[N] <= loss[0]*1.000001 + 1e-9) ? "diverges" : turns > 2 ? settled ? "oscillates, then settles" : "oscillates, not settled"
        : settled ? "converges" : "still on its way";
      return {ws, gs, vs, loss, verdict};
    }
    const simulate = () => {
      this.output = run = descend();
      const {ws, gs, vs, loss, verdict} = run, S = SURFACES[kind], names = ws[0].length > 1 ? ["u", "v"] : ["w"];
      title.textContent = S.title;
      badge.textContent = `${verdict} — loss ${sig(loss[0])} → ${sig(loss[N])} after ${N} steps`;
      badge.dataset.v = verdict.split(/[ ,]/)[0];
      live.textContent = !k ? `Start: ${names.map((n, a) => `${n} = ${sig(ws[0][a])}`).join(", ")}; loss ${sig(loss[0])}; gradient ${gs[0].map(sig).join(", ")}.`
        : `Step ${k}: ` + names.map((n, a) => (mu ? `velocity ${fmt(mu)} × ${factor(k > 1 ? +vs[k - 2][a].toPrecision(4) : 0)} + ${factor(+gs[k - 1][a].toPrecision(4))} = ${sig(vs[k - 1][a])}; ` : "")
          + `${n} = ${sig(ws[k - 1][a])} − ${fmt(lr)} × ${factor(+vs[k - 1][a].toPrecision(4))} = ${sig(ws[k][a])}`).join("; ") + `. Loss ${sig(loss[k])}.`;
      paint();
    };
    const frame = (pic, X, Y, xt, yt, xl, yl, label, kids) => {
      const px = v => at.l + (v - X[0])/(X[1] - X[0])*(W - at.l - at.r), py = v => H - at.b - (v - Y[0])/(Y[1] - Y[0])*(H - at.t - at.b);
      pic.setAttribute("aria-label", label);
      pic.replaceChildren(svg("clipPath", {id: "box"}, svg("rect", {x: at.l, y: at.t, width: W - at.l - at.r, height: H - at.t - at.b})),
        svg("rect", {x: at.l, y: at.t, width: W - at.l - at.r, height: H - at.t - at.b, class: "frame"}),
        ...xt.map(v => svg("text", {x: px(v), y: H - at.b + 14, "text-anchor": "middle"}, fmt(v))),
        ...yt.map(([v, t]) => svg("text", {x: at.l - 4, y: py(v) + 4, "text-anchor": "end"}, t)),
        svg("text", {x: W - at.r - 6, y: H - at.b - 6, "text-anchor": "end", class: "lab"}, xl), svg("text", {x: at.l, y: at.t - 7, class: "lab"}, yl),
        svg("g", {"clip-path": "url(#box)"}, ...kids(px, py)));
    };
    const line = (pts, cls) => svg("polyline", {points: pts.map(p => p.map(t => Number.isNaN(t) ? "9e3" : Math.max(-9e3, Math.min(9e3, t)).toFixed(1)).join()).join(" "), class: cls});
    const range = (n, f) => [...Array(n + 1)].map((_, t) => f(t/n));
    function paint() {
      const {ws, gs, loss, verdict} = run, S = SURFACES[kind], flat = ws[0].length === 1, past = ws.slice(0, k + 1);
      const pt = (px, py) => (w, n) => flat ? [px(w[0]), py(loss[n])] : [px(w[0]), py(w[1])];
      const lab = `${S.title}, path of ${k} steps, now at ${ws[k].map(sig).join(", ")}, loss ${sig(loss[k])}`;
      frame(plot, S.x, S.y, range(4, t => S.x[0] + t*(S.x[1] - S.x[0])), flat ? range(3, t => t*S.y[1]).map(v => [v, fmt(v)]) : [-2, -1, 0, 1, 2].map(v => [v, fmt(v)]),
        flat ? "w" : "u", flat ? "loss" : "v", lab, (px, py) => {
          const P = past.map(pt(px, py)), c = P[k], kids = [];
          if (flat) {
            kids.push(line(range(120, t => { const w = S.x[0] + t*(S.x[1] - S.x[0]); return [px(w), py(S.f([w]))]; }), "curve"));
            const w = ws[k][0], s = gs[k][0]; kids.push(line([-1, 1].map(d => [px(w + d), py(loss[k] + d*s)]), "tangent"));
          } else {
            for (const v of [0.25, 1, 2.5, 5, 10, 17, 26]) kids.push(svg("ellipse", {cx: px(0), cy: py(0), rx: px(Math.sqrt(2*v)) - px(0), ry: py(0) - py(Math.sqrt(v/5)), class: "ring"}));
            kids.push(line([[px(0) - 5, py(0)], [px(0) + 5, py(0)]], "curve"), line([[px(0), py(0) - 5], [px(0), py(0) + 5]], "curve"));
          }
          return [...kids, line(P, "path"), ...P.map(p => dot(p, 3)), dot(c, 6.5, "now")];
        });
      const log = v => Math.log10(Math.min(1e12, Math.max(1e-12, v))) || 0, ls = loss.map(v => log(Number.isNaN(v) ? Infinity : v));
      let lo = Math.floor(Math.min(...ls)), hi = Math.ceil(Math.max(...ls)); if (lo === hi) hi++;
      const jump = Math.ceil((hi - lo)/5), tick = []; for (let t = lo; t <= hi; t += jump) tick.push([t, Math.abs(t) < 4 ? fmt(10**t, 6) : "1e" + fmt(t)]);
      frame(curve, [0, N], [lo, hi], range(5, t => Math.round(t*N)), tick, "step", "loss, log scale", `loss after each step: ${verdict}, from ${sig(loss[0])} to ${sig(loss[N])}`,
        (px, py) => [line(ls.map((v, n) => [px(n), py(v)]), "later"), line(ls.slice(0, k + 1).map((v, n) => [px(n), py(v)]), "path"), dot([px(k), py(ls[k])], 6, "now")]);
    }
    function dot([x, y], r, cls = "dot") { return Math.abs(x) < 9e3 && Math.abs(y) < 9e3 ? svg("circle", {cx: x, cy: y, r, class: cls}) : ""; }
    limits();
    this.draw = simulate;
  }
}
