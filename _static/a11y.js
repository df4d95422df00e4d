// Repairs of the theme's markup that axe-core reports.
document.addEventListener("DOMContentLoaded", () => {
  const all = (selector) => document.querySelectorAll(selector);
  for (const e of all("summary[aria-label], .search-button-field[aria-label], .theme-switch-button[aria-label]"))
    if (e.textContent.trim()) e.removeAttribute("aria-label");
  for (const e of all(".theme-switch-button")) e.setAttribute("aria-label", e.textContent.trim() || "Colour mode");
  for (const e of all(".citation-list, .citation")) e.removeAttribute("role");
  for (const e of all(".bd-sidebar-primary:not([role])")) {
    e.setAttribute("role", "navigation");
    e.setAttribute("aria-label", "Book");
  }
  // What scrolls sideways must be reachable by keyboard.
  const reach = () => {
    for (const e of all("div.highlight pre, div.cell_output, div.cell_output pre, mjx-container[display='true'], .pst-scrollable-table-container"))
      if (e.scrollWidth > e.clientWidth && !e.querySelector("a, button, input, select")) e.tabIndex = 0;
  };
  // Formulas are typeset after the page has loaded; on a long page that takes a while.
  addEventListener("resize", reach);
  addEventListener("load", () => {
    reach();
    window.MathJax?.startup?.promise?.then(reach);
  });
});
