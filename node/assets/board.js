// The demonstration board follows its devices: when something moved, it takes the board from the server
// anew, which works out everything itself.
(function () {
  'use strict';
  var busy = false, again = false;
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
        board.replaceWith(document.adoptNode(fresh));
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
