// What pages do beyond plain links and forms: keep what is typed, move states, keys. Everything works
// without it. No markup is ever made from text (Trusted Types): elements get their text as text.
(function () {
  'use strict';
  var $ = function (id) { return document.getElementById(id); };
  var all = function (query, root) { return Array.prototype.slice.call((root || document).querySelectorAll(query)); };

  // Some input methods end the composition before the key that ended it arrives: one tick longer.
  var composing = false;
  document.addEventListener('compositionstart', function () { composing = true; });
  document.addEventListener('compositionend', function () { setTimeout(function () { composing = false; }, 0); });
  function typing(event) { return composing || event.isComposing || event.keyCode === 229; }

  // ---- drafts: what is typed is in the store within a second of a pause ----
  var form = $('intake');
  if (form) {
    var timer = 0, sent = '', busy = false, leaving = false;
    var body = function () { return new URLSearchParams(new FormData(form)).toString(); };
    sent = body();
    var say = function (text, bad) {
      var kept = $('kept');
      kept.hidden = false;
      kept.classList.toggle('unkept', !!bad);
      kept.querySelector('span').textContent = text;
    };
    var keep = function () {
      timer = 0;
      var now = body();
      if (busy || leaving || now === sent) { return; }
      busy = true;
      fetch(form.dataset.draft, { method: 'POST', body: new URLSearchParams(now), headers: { Accept: 'text/plain' } })
        .then(function (answer) {
          if (!answer.ok) { throw new Error(String(answer.status)); }
          return answer.text();
        })
        .then(function (text) { sent = now; say(text); })
        .catch(function () { say(form.dataset.unkept, true); })
        .then(function () { busy = false; if (!timer && body() !== now) { timer = setTimeout(keep, 700); } });
    };
    var soon = function () { clearTimeout(timer); timer = setTimeout(keep, 700); };
    form.addEventListener('input', soon);
    form.addEventListener('change', soon);
    form.addEventListener('submit', function () { leaving = true; clearTimeout(timer); });
    // A tab that is closed or hidden hands over what it has.
    var hand = function () {
      if (!leaving && body() !== sent) { navigator.sendBeacon(form.dataset.draft, new URLSearchParams(body())); }
    };
    window.addEventListener('pagehide', hand);
    document.addEventListener('visibilitychange', function () { if (document.hidden) { hand(); } });
    window.addEventListener('pageshow', function (event) { if (event.persisted) { leaving = false; } });
  }
  all('form').forEach(function (it) {
    it.addEventListener('submit', function (event) {
      // A second click on the way: the first one counts.
      if (it.dataset.sent) { event.preventDefault(); return; }
      it.dataset.sent = '1';
      setTimeout(function () { delete it.dataset.sent; }, 3000);
    });
  });

  // ---- where to begin ----
  var first = document.querySelector('[data-focus]');
  if (first) {
    var inside = first.matches('form') && first.querySelector('[aria-invalid], .wrong input, input:not([type=hidden]), select, textarea');
    (inside || first).focus();
  }
  all('.errors a').forEach(function (link) {
    link.addEventListener('click', function (event) {
      var target = $(link.hash.slice(1));
      if (!target) { return; }
      event.preventDefault();
      var control = target.matches('fieldset') ? target.querySelector('input') : target;
      for (var fold = target.closest('details'); fold; fold = fold.parentElement.closest('details')) { fold.open = true; }
      target.scrollIntoView({ block: 'center' });
      control.focus();
    });
  });

  // ---- states move ----
  function mark(record) {
    all('[data-record="' + record.id + '"]').forEach(function (place) {
      var pill = place.querySelector('[data-pill]');
      if (pill) {
        pill.className = 'state state-' + record.state;
        pill.querySelector('use').setAttribute('href', '#i-' + record.state);
        pill.querySelector('span').textContent = record.word;
      }
      var status = place.querySelector('[data-status]');
      if (status) { status.textContent = record.status; }
      var means = place.querySelector('[data-means]');
      if (means) { means.textContent = record.means; }
      var why = place.querySelector('[data-why]');
      if (why && ['saved', 'sending', 'quarantined'].indexOf(record.state) < 0) { why.remove(); }
      all('[data-ladder] > li', place).forEach(function (rung, at) {
        var stage = record.ladder[at];
        rung.className = stage === 'next' ? 'todo' : stage;
        if (stage === 'now') { rung.setAttribute('aria-current', 'step'); } else { rung.removeAttribute('aria-current'); }
        var said = rung.querySelector('[data-reached]');
        said.textContent = stage === 'next' ? '' : said.dataset.reached;
      });
    });
  }
  var live = all('[data-live]');
  function refresh() {
    var ids = [];
    live.forEach(function (part) {
      if (part.dataset.record) { ids.push(part.dataset.record); }
      all('[data-record]', part).forEach(function (row) { ids.push(row.dataset.record); });
    });
    if (!live.length) { return; }
    var newest = document.querySelector('[data-newest]');
    var query = 'ids=' + ids.join(',') + (newest ? '&newest=' + newest.dataset.newest : '');
    fetch('/states?' + query, { headers: { Accept: 'application/json' } })
      .then(function (answer) { return answer.ok ? answer.json() : { records: [], newer: 0 }; })
      .then(function (found) {
        found.records.forEach(mark);
        var note = $('newer');
        if (note && found.newer > 0) {
          note.hidden = false;
          note.querySelector('p').textContent = found.newer_said;
        }
      })
      .catch(function () {});
  }
  var strip = $('strip'), stream = null;
  function moved(event) {
    var now = JSON.parse(event.data);
    var set = function (id, text) { if ($(id).textContent !== text) { $(id).textContent = text; } };
    strip.className = 'strip strip-' + now.level;
    set('strip-line', now.line);
    set('strip-waiting', now.waiting);
    set('strip-receipt', now.receipt);
    $('strip-icon').setAttribute('href', now.online ? '#i-online' : '#i-offline');
    refresh();
  }
  function listen() {
    // A page out of sight needs no stream: a browser has six connections to a server.
    if (document.hidden) { if (stream) { stream.close(); stream = null; } return; }
    if (strip && !stream && window.EventSource) {
      stream = new EventSource('/events');
      stream.addEventListener('moved', moved);
    }
  }
  document.addEventListener('visibilitychange', listen);
  listen();

  // ---- printing ----
  all('[data-print]').forEach(function (button) { button.addEventListener('click', function () { window.print(); }); });
  all('[data-roll]').forEach(function (button) {
    button.addEventListener('click', function () { $('sheet').classList.toggle('sheet-roll'); });
  });

  // ---- keys ----
  document.addEventListener('keydown', function (event) {
    if (typing(event)) { return; }
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      var owner = event.target.closest && event.target.closest('form.form');
      if (owner) { event.preventDefault(); owner.querySelector('.btn-main').click(); }
    }
  });
  if (document.body.dataset.keys === undefined) { return; }
  var went = false;
  document.addEventListener('keydown', function (event) {
    var inside = event.target.closest && event.target.closest('input, textarea, select, [contenteditable]');
    if (typing(event) || inside || event.ctrlKey || event.metaKey || event.altKey) { return; }
    var key = event.key.toLowerCase();
    var press = function (target) { if (target) { event.preventDefault(); target.focus(); target.click(); } };
    if (went && key === 's') { went = false; location.href = '/sync'; return; }
    went = key === 'g';
    if (key === '/') {
      if ($('q')) { event.preventDefault(); $('q').focus(); } else { location.href = '/records'; }
    } else if (key === '?') {
      location.href = '/help#keys';
    } else if (key === 'n' || key === 'e' || key === 'p') {
      press(document.querySelector('[data-key="' + key + '"]'));
      if (key === 'n' && !document.querySelector('[data-key="n"]') && document.querySelector('a[href="/new/opinion"]')) { location.href = '/new/opinion'; }
    } else if (key === 'j' || key === 'k') {
      var rows = all('[data-select] > li, .rows[data-live] > li');
      if (!rows.length) { return; }
      var at = rows.indexOf(document.querySelector('.rows > .selected'));
      var next = rows[Math.max(0, Math.min(rows.length - 1, at + (key === 'j' ? 1 : -1)))];
      rows.forEach(function (row) { row.classList.toggle('selected', row === next); });
      next.querySelector('a').focus();
      next.scrollIntoView({ block: 'nearest' });
    } else if (key === 'enter' && event.target === document.body) {
      press(document.querySelector('.rows > .selected a'));
    }
  });
})();
