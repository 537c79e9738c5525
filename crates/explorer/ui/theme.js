// Before anything is drawn, so that no flash of the other theme is seen.
try {
  const chosen = localStorage.getItem("elbo-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the system's theme is used.
}
