// On paper nothing can be opened, so everything is open there.
const closed = new Set();
addEventListener('beforeprint', () => {
  for (const details of document.querySelectorAll('details:not([open])')) {
    details.open = true;
    closed.add(details);
  }
});
addEventListener('afterprint', () => {
  for (const details of closed) details.open = false;
  closed.clear();
});

// The words on the theme's button for searching are its name; its label leaves some of them out.
addEventListener('DOMContentLoaded', () => {
  for (const button of document.querySelectorAll('.search-button-field')) {
    button.removeAttribute('aria-label');
  }
});
