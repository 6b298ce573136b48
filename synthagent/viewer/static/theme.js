// Before anything is drawn: the theme that was chosen, or the system's.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* storage is switched off: the system's theme */ }
