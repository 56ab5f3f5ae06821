// The demonstration board follows its devices: when something moved, it takes the board from the server
// anew, which works out everything itself. A record that has come to another computer travels there.
(function () {
  'use strict';
  var busy = false, again = false;
  var all = function (query, root) { return Array.prototype.slice.call(root.querySelectorAll(query)); };
  function at(cells, stages) {
    for (var i = 0; i < cells.length; i += 1) {
      if (stages.some(function (stage) { return cells[i].classList.contains(stage); })) { return i; }
    }
    return -1;
  }
  // Where a record was not and now is, its dot comes from where it was recorded.
  function travel(was, is) {
    all('tbody tr', is).forEach(function (row) {
      var before = was.querySelector('#' + row.id);
      var cells = all('td', row), home = at(cells, ['home', 'stuck']);
      if (!before || home < 0) { return; }
      var old = all('td', before);
      cells.forEach(function (cell, column) {
        var arrived = cell.classList.contains('has') && old[column] && !old[column].classList.contains('has');
        if (!arrived) { return; }
        cell.classList.add('came');
        cell.querySelector('.dot').style.setProperty('--from', (home - column) * 100 + '%');
      });
    });
  }
  function renew() {
    if (busy) { again = true; return; }
    busy = true;
    var request = new XMLHttpRequest();
    request.open('GET', '/');
    request.responseType = 'document';
    request.onload = function () {
      var fresh = request.response && request.response.getElementById('board');
      var board = document.getElementById('board');
      if (fresh && board) {
        var focused = document.activeElement && document.activeElement.id;
        fresh = document.adoptNode(fresh);
        travel(board, fresh);
        board.replaceWith(fresh);
        var back = focused && document.getElementById(focused);
        if (back) { back.focus(); }
      }
    };
    request.onloadend = function () {
      busy = false;
      if (again) { again = false; renew(); }
    };
    request.send();
  }
  if (window.EventSource) {
    new EventSource('/events').addEventListener('moved', renew);
  }
  // A button pressed on the board answers with the board; staying on the page keeps the view in place.
  document.addEventListener('submit', function (event) {
    var form = event.target;
    if (!form.closest('#board')) { return; }
    event.preventDefault();
    fetch(form.action, { method: 'POST' }).then(renew, renew);
  });
})();
