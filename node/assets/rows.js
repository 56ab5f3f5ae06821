// J and K go from row to row of a table, as they do in lists.
(function () {
  'use strict';
  if (document.body.dataset.keys === undefined) { return; }
  document.addEventListener('keydown', function (event) {
    var inside = event.target.closest && event.target.closest('input, textarea, select, [contenteditable]');
    var key = event.key.toLowerCase();
    if (inside || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || (key !== 'j' && key !== 'k')) { return; }
    var rows = Array.prototype.slice.call(document.querySelectorAll('tbody.rows > tr'));
    if (!rows.length) { return; }
    var at = rows.indexOf(document.querySelector('tbody.rows > .selected'));
    var next = rows[Math.max(0, Math.min(rows.length - 1, at + (key === 'j' ? 1 : -1)))];
    rows.forEach(function (row) { row.classList.toggle('selected', row === next); });
    next.querySelector('.title').focus();
    next.scrollIntoView({ block: 'nearest' });
  });
})();
