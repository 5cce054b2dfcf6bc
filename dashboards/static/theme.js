// The chosen theme, before anything is painted, so that nothing flashes. "auto" leaves it to the system.
(() => {
  "use strict";
  try {
    const theme = localStorage.getItem("weir-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // No storage: the system's theme.
  }
})();
