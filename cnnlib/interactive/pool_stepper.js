// Pooling window by window, and the way its gradient takes back.
({Figure, fmt, factor, el, row, bar, button, op, zeros, grid, put, edit, pick, radios}) => class extends Figure {
  static css = `
    .panes{display:flex;flex-wrap:wrap;gap:.9em 2.4em;margin-top:.8em}
    h4{font:inherit;font-weight:600;margin:0 0 .35em}
    .panes .row{gap:.5em .7em}caption{font-size:.82em}
    td.win{box-shadow:inset 0 0 0 3px var(--mark);font-weight:700;text-decoration:underline;text-underline-offset:.2em}
    td.chg::before{content:"";position:absolute;top:0;right:0;border:.3em solid transparent;border-top-color:currentColor;border-right-color:currentColor}
    .live p{margin:0 0 .25em}
    @media (forced-colors:active){td.win{outline:3px solid CanvasText;outline-offset:-3px}}`;
  build({x: X0, dy: dY, kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw], mode: kind}) {
    const H = X0.length, W = X0[0].length, OH = dY.length, OW = dY[0].length, HP = H + 2*ph, WP = W + 2*pw;
    const given = JSON.stringify(dY), mod = (a, n) => (a % n + n) % n, at = (r, c) => `[${r},\u00a0${c}]`;
    const tail = (n, s) => `${n} ${s}${n === 1 ? "" : "s"}`;
    let mode = kind, i = 0, j = 0, down = 0, right = 0, X = X0;

    // One window: its cells in row-major order, the result, and the share of the gradient of each cell.
    const pool = (A, a, b) => {
      const cells = [], max = mode === "max";
      for (let u = 0; u < kh; u++) for (let v = 0; v < kw; v++) {
        const r = a*sh + u - ph, c = b*sw + v - pw, pad = r < 0 || c < 0 || r >= H || c >= W;
        cells.push({r, c, pad, v: pad ? (max ? -Infinity : 0) : A[r][c], share: max ? 0 : 1/(kh*kw)});
      }
      if (!max) return {cells, y: cells.reduce((s, t) => s + t.v, 0)/cells.length};
      const y = Math.max(...cells.map(t => t.v)), same = cells.filter(t => t.v === y);
      same[0].share = 1;
      return {cells, y, win: same[0], ties: same.length};
    };
    const forward = A => zeros(OH, OW).map((l, a) => l.map((_, b) => pool(A, a, b).y));

    const tx = grid(HP, WP, `Input x${ph || pw ? ", padded" : ""}`), ty = grid(OH, OW, "Output y");
    const tg = edit("Upstream dy", dY, "dy", () => this.draw()), td = grid(H, W, "Gradient dx");
    const padded = (r, c) => r < ph || c < pw || r >= H + ph || c >= W + pw;
    for (let r = 0; r < HP; r++) for (let c = 0; c < WP; c++) tx.at(r, c).classList.toggle("pad", padded(r, c));
    for (let a = 0; a < OH; a++) for (let b = 0; b < OW; b++) tg.at(a, b).firstChild.addEventListener("focus", () => go(a, b));
    pick(ty, "output y; the arrow keys move the window", (a, b, how) => how === "hover" ? this.timer || go(a, b) : (this.stop(), go(a, b, true)));
    const go = (a, b, focus) => { i = a; j = b; this.draw(); if (focus) ty.select(i, j, true); };
    const steps = this.player(n => { const t = mod(i*OW + j + n, OH*OW); go(Math.floor(t/OW), t % OW); });
    const shift = (d, r) => {
      down = mod(down + d, H); right = mod(right + r, W);
      X = X0.map((l, a) => l.map((_, b) => X0[mod(a - down, H)][mod(b - right, W)]));
      this.draw();
    };
    const moved = el("p", {class: "note", role: "status"});
    const pane = (text, ...kids) => el("div", {role: "group", "aria-label": text}, el("h4", {"aria-hidden": "true"}, text), row(...kids));
    this.hint.append(`${H} × ${W} to ${OH} × ${OW}; window ${kh} × ${kw}, stride ${sh === sw ? sh : `${sh}, ${sw}`}`);
    this.box.append(
      row(radios("pooling", {max: "maximum", average: "average"}, mode, m => { mode = m; this.draw(); }), el("span", {class: "row", style: "gap:.5em"}, ...steps)),
      el("div", {class: "panes"}, pane("Forward", tx, op("→"), ty), pane("Backward: edit dy, see who gets it", tg, op("→"), td)), this.live,
      bar("Shift the input", button("→ right", () => shift(0, 1), {"aria-label": "shift the input one pixel right"}),
        button("↓ down", () => shift(1, 0), {"aria-label": "shift the input one pixel down"}),
        button("Reset", () => { JSON.parse(given).forEach((l, a) => dY[a].splice(0, OW, ...l)); tg.sync(); shift(-down, -right); })), moved);

    this.draw = () => {
      const here = pool(X, i, j), Y = forward(X), Y0 = forward(X0), dX = zeros(H, W), gain = {};
      for (let a = 0; a < OH; a++) for (let b = 0; b < OW; b++) for (const t of pool(X, a, b).cells) if (!t.pad && t.share) {
        dX[t.r][t.c] += dY[a][b]*t.share;
        (gain[[t.r, t.c]] ||= []).push(dY[a][b]);
      }
      this.output = {y: Y, dx: dX};
      const edge = mode === "max" ? "−∞" : "0";
      put(tx, zeros(HP, WP).map((l, a) => l.map((_, b) => padded(a, b) ? 0 : X[a - ph][b - pw])), {text: (v, a, b) => padded(a, b) ? edge : fmt(v)});
      put(ty, Y); put(td, dX); ty.select(i, j);
      const mark = (t, h, w, r0, c0) => {
        for (let a = 0; a < h; a++) for (let b = 0; b < w; b++) {
          const hit = here.cells.find(q => q.r === a - r0 && q.c === b - c0), s = t.at(a, b).classList;
          s.toggle("in", !!hit); s.toggle("win", !!hit && hit === here.win);
        }
      };
      mark(tx, HP, WP, ph, pw); mark(td, H, W, 0, 0);
      let changed = 0, inputs = 0;
      for (let a = 0; a < OH; a++) for (let b = 0; b < OW; b++) {
        const differs = Y[a][b] !== Y0[a][b];
        ty.at(a, b).classList.toggle("chg", differs); changed += differs;
        tg.at(a, b).classList.toggle("sel", a === i && b === j);
      }
      X.forEach((l, a) => l.forEach((v, b) => { inputs += v !== X0[a][b]; }));
      const g = dY[i][j], n = kh*kw, lost = here.cells.filter(t => t.pad).length, vals = here.cells.map(t => t.v);
      let back;
      if (here.win) {
        const {r, c} = here.win, all = gain[[r, c]];
        back = `dy${at(i, j)} = ${fmt(g)} goes whole to x${at(r, c)}, ${here.ties > 1 ? `the first of ${here.ties} equal maxima` : "the maximum"}; the rest of the window gets 0.`
          + (all.length > 1 ? ` ${all.length} windows chose this cell: dx${at(r, c)} = ${all.map(factor).join(" + ")} = ${fmt(dX[r][c])}.` : "");
      } else {
        back = `dy${at(i, j)} = ${fmt(g)} is shared equally: ${fmt(g)} / ${n} = ${fmt(g/n)} for each of the ${n} cells.`
          + (lost ? ` ${tail(lost, "share")} on the padding ${lost === 1 ? "is" : "are"} lost.` : "");
      }
      const sum = here.win ? `max(${vals.map(v => fmt(v)).join(", ")})` : `(${vals.map(factor).join(" + ")}) / ${n}`;
      this.say(el("p", {}, `Forward: y${at(i, j)} = ${sum} = `, el("b", {}, fmt(here.y))), el("p", {}, "Backward: " + back));
      moved.textContent = !down && !right ? "Shift the picture by a pixel and see how many outputs notice."
        : `Shifted ${right} right and ${down} down, round the edge: ${inputs} of ${H*W} inputs changed, ${changed} of ${OH*OW} outputs changed${changed ? " (marked in the corner)" : ""}.`;
    };
  }
}
