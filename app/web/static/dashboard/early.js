// Before anything is drawn: the theme that was chosen, so that nothing flashes.
try {
  const theme = localStorage.getItem("tocsin.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's theme is as good.
}
