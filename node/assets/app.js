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

  // ---- forms: what is typed is in the store within a second of a pause, and no answer takes it away ----
  function posted(form) {
    var note = form.querySelector('[data-kept]') || (form.dataset.draft && document.querySelector('[data-kept]'));
    var kept = form.dataset.draft, timer = 0, busy = null, wait = 700, sent = '', leaving = false;
    var body = function () { return new URLSearchParams(new FormData(form)).toString(); };
    sent = body();
    var say = function (text, bad, link) {
      if (!note) {
        note = document.createElement('p');
        note.className = 'kept';
        note.setAttribute('role', 'status');
        note.appendChild(document.createElement('span'));
        form.appendChild(note);
      }
      note.hidden = false;
      note.classList.toggle('unkept', !!bad);
      var span = note.querySelector('span');
      span.textContent = text + ' ';
      if (link) {
        var to = document.createElement('a');
        to.href = link.to;
        to.textContent = link.text;
        if (link.away) { to.target = '_blank'; to.rel = 'noopener'; }
        span.appendChild(to);
      }
    };
    var said = document.body.dataset;
    var login = { to: '/login', text: said.saidLogin, away: true };
    var later = function () {
      wait = Math.min(wait * 2, 30000);
      clearTimeout(timer);
      timer = setTimeout(keep, wait);
    };
    var keep = function () {
      timer = 0;
      var now = body();
      if (busy || leaving || now === sent) { return; }
      busy = fetch(form.dataset.draft, { method: 'POST', body: new URLSearchParams(now), keepalive: now.length < 60000, headers: { Accept: 'application/json' } })
        .then(function (answer) {
          var told = (answer.headers.get('Content-Type') || '').indexOf('json') >= 0;
          return told ? answer.json().then(function (it) { it.status = answer.status; return it; }) : { status: answer.status };
        })
        .then(function (it) {
          if (it.draft) {
            sent = now;
            wait = 700;
            if (form.elements.draft.value !== it.draft) {
              form.elements.draft.value = it.draft;
              form.dataset.draft = '/drafts/' + it.draft;
              sent = body();
              address();
            }
          }
          if (it.status === 200) { say(it.said); }
          else if (it.status === 401) { say(it.said || said.saidEnded, true, login); }
          else if (it.status === 409) { say(it.said, true, { to: it.to, text: said.saidSee }); }
          else { say(it.status === 413 ? said.saidLong : said.saidUnkept, true); later(); }
        })
        .catch(function () { say(said.saidAway, true); later(); })
        .then(function () { busy = null; if (!timer && body() !== sent) { timer = setTimeout(keep, wait); } });
    };
    // Going back leads to what became of this form, and not to another that is empty.
    var address = function () {
      if (form.dataset.address && location.href.indexOf(form.elements.draft.value) < 0) { history.replaceState(null, '', form.dataset.address + form.elements.draft.value); }
    };
    if (kept) {
      var soon = function () { clearTimeout(timer); timer = setTimeout(keep, wait); };
      form.addEventListener('input', soon);
      form.addEventListener('change', soon);
      // A tab that is closed or hidden hands over what it has.
      window.addEventListener('pagehide', keep);
      document.addEventListener('visibilitychange', function () { if (document.hidden) { keep(); } });
      address();
    }
    window.addEventListener('pageshow', function (event) { if (event.persisted && leaving) { location.reload(); } });
    // A form is sent once it is known that somebody will take it: the browser's own error page has no words on it.
    form.addEventListener('submit', function (event) {
      if (leaving) { return; }
      event.preventDefault();
      if (form.dataset.asking) { return; }
      form.dataset.asking = '1';
      clearTimeout(timer);
      var button = event.submitter;
      Promise.resolve(busy)
        .then(function () { return fetch('/here', { headers: { Accept: 'application/json' } }); })
        .then(function (answer) {
          if (answer.ok) {
            leaving = true;
            if (form.requestSubmit) { form.requestSubmit(button || undefined); } else { form.submit(); }
            setTimeout(function () { leaving = false; }, 10000);
          } else {
            say(said.saidEnded, true, login);
          }
        })
        .catch(function () { say(said.saidAway, true); if (kept) { later(); } })
        .then(function () { delete form.dataset.asking; });
    });
  }
  if (document.body.dataset.saidAway) {
    all('form').forEach(function (it) {
      if (it.method === 'post' && (it.dataset.draft || it.querySelector('textarea'))) { posted(it); }
    });
  }

  // ---- what a form says of itself: what follows from a choice, how long a text is, what it lacks, what is like it ----
  function made(tag, name, text) {
    var it = document.createElement(tag);
    if (name) { it.className = name; }
    if (text !== undefined) { it.textContent = text; }
    return it;
  }
  function icon(name) {
    var svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    var use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
    svg.setAttribute('class', 'icon');
    svg.setAttribute('aria-hidden', 'true');
    use.setAttribute('href', '#i-' + name);
    svg.appendChild(use);
    return svg;
  }
  var ids = function (input, what) { return (input.dataset[what] || '').split(' ').filter(Boolean); };
  // A choice hides and empties what it leaves no room for, and shows what it asks for. What stood there comes back with the choice.
  function choices(form, event) {
    var changed = event && event.target.dataset.excludes !== undefined || event && event.target.type === 'radio';
    var off = {}, need = {};
    all('[data-excludes]:checked', form).forEach(function (it) { ids(it, 'excludes').forEach(function (id) { off[id] = true; }); });
    all('[data-excludes]', form).forEach(function (it) {
      ids(it, 'excludes').forEach(function (id) {
        var input = $(id), field = input && input.closest('.field');
        if (!field) { return; }
        if (off[id] && changed && input.value) { input.dataset.held = input.value; input.value = ''; }
        if (!off[id] && input.dataset.held) { input.value = input.value || input.dataset.held; delete input.dataset.held; }
        field.hidden = !!off[id] && !input.value;
      });
    });
    all('[data-needs]', form).forEach(function (it) {
      var out = ids(it, 'needs').some(function (id) { return off[id]; });
      if (out && it.checked && changed) { it.closest('.chips').querySelector('input').checked = true; }
      it.closest('.chip').hidden = out && !it.checked;
      if (it.checked) { ids(it, 'needs').forEach(function (id) { need[id] = true; }); }
    });
    all('[data-needs]', form).forEach(function (it) {
      ids(it, 'needs').forEach(function (id) {
        var input = $(id), field = input && input.closest('.field');
        if (!field || off[id]) { return; }
        var follows = it.closest('.field').compareDocumentPosition(field) & Node.DOCUMENT_POSITION_FOLLOWING;
        var mark = field.querySelector('.opt');
        if (mark) { mark.hidden = !!need[id]; }
        field.hidden = !!follows && !need[id] && !input.value && !field.matches('.wrong');
      });
    });
  }
  all('form').forEach(function (form) {
    if (!form.querySelector('[data-needs], [data-excludes]')) { return; }
    form.addEventListener('change', function (event) { choices(form, event); });
    choices(form);
  });
  all('[data-chars]').forEach(function (under) {
    var input = $(under.dataset.chars);
    input.addEventListener('input', function () {
      var count = Array.from(input.value).length;
      under.firstElementChild.textContent = count;
      under.classList.toggle('over', count > Number(under.dataset.max));
    });
  });
  function looked(form) {
    var timer = 0, turn = 0, shown = '';
    var pill = document.querySelector('[data-lacks]'), list = document.querySelector('[data-alike]');
    var under = form.querySelector('.under'), count = under && made('a', 'only-phone');
    if (count) { count.href = '#alike'; count.hidden = true; under.insertBefore(count, under.firstChild); }
    function row(it) {
      var li = made('li'), div = made('div'), title = made('a', 'title'), sub = made('p', 'sub');
      title.href = it.href;
      title.target = '_blank';
      title.rel = 'noopener';
      it.title.forEach(function (piece) { title.appendChild(piece[1] ? made('mark', '', piece[0]) : document.createTextNode(piece[0])); });
      sub.appendChild(made('time', '', it.when));
      if (it.place) { sub.appendChild(made('span', '', it.place)); }
      div.appendChild(title);
      div.appendChild(sub);
      li.appendChild(div);
      li.appendChild(made('span', it.open ? 'small' : 'small soft', it.status));
      return li;
    }
    function show(it) {
      if (pill) {
        pill.textContent = it.lacks;
        pill.className = 'pill ' + (it.ready ? 'pill-go' : 'pill-wait');
        if (it.to) { pill.href = '#' + it.to; } else { pill.removeAttribute('href'); }
      }
      all('[data-looks]', form).forEach(function (place) {
        var said = it.looks[place.dataset.looks] || [];
        if (place.textContent === said.join('')) { return; }
        place.textContent = '';
        said.forEach(function (text) {
          var p = made('p', 'look');
          p.appendChild(icon('warn'));
          p.appendChild(made('span', '', text));
          place.appendChild(p);
        });
      });
      all('[data-says]', form).forEach(function (place) { place.textContent = it.folds[place.dataset.says] || ''; });
      var now = JSON.stringify(it.alike);
      if (!list || now === shown) { return; }
      shown = now;
      list.textContent = '';
      it.alike.forEach(function (part) {
        var section = made('section', part.brief ? 'inset' : '');
        list.appendChild(section);
        if (part.brief) {
          section.appendChild(made('h3', '', part.head));
          part.rows.forEach(function (it) {
            var p = made('p', 'small'), link = row(it).querySelector('a');
            link.className = '';
            p.appendChild(made('time', '', it.when));
            p.appendChild(document.createTextNode(' '));
            p.appendChild(link);
            section.appendChild(p);
          });
          return;
        }
        var head = made('h2', '', part.head + ' '), rows = made('ul', 'rows');
        head.appendChild(made('span', 'soft small', part.note));
        part.rows.forEach(function (it) { rows.appendChild(row(it)); });
        section.appendChild(head);
        section.appendChild(rows);
      });
      document.querySelector('[data-alike-how]').hidden = !it.alike.length;
      if (count) { count.textContent = it.alike_count; count.hidden = !it.alike_count; }
    }
    function ask() {
      var mine = turn += 1;
      fetch(form.dataset.look, { method: 'POST', body: new URLSearchParams(new FormData(form)), headers: { Accept: 'application/json' } })
        .then(function (answer) { return answer.ok ? answer.json() : null; })
        .then(function (it) { if (it && mine === turn) { show(it); } })
        .catch(function () {});
    }
    var soon = function () { clearTimeout(timer); if (!composing) { timer = setTimeout(ask, 400); } };
    ['input', 'change', 'compositionend'].forEach(function (what) { form.addEventListener(what, function () { setTimeout(soon, 0); }); });
  }
  all('form[data-look]').forEach(looked);

  // ---- a sheet with a line each: Enter goes on to the next line ----
  all('form[data-lines]').forEach(function (form) {
    var rows = form.querySelector('[data-rows]');
    form.addEventListener('keydown', function (event) {
      var row = event.target.closest && event.target.closest('[data-row]');
      if (!row || event.key !== 'Enter' || event.shiftKey || event.ctrlKey || event.metaKey || event.target.tagName === 'BUTTON') { return; }
      event.preventDefault();
      if (typing(event)) { return; }
      var next = row.nextElementSibling;
      if (!next && rows.children.length < Number(form.dataset.lines)) {
        next = row.cloneNode(true);
        var at = rows.children.length + 1;
        next.classList.remove('wrong');
        all('.err, .look', next).forEach(function (it) { it.remove(); });
        all('[data-at]', next).forEach(function (it) { it.textContent = at; });
        all('[name]', next).forEach(function (it) {
          it.id = it.dataset.id + '-' + at;
          it.value = '';
          it.removeAttribute('aria-describedby');
          it.removeAttribute('aria-invalid');
          it.setAttribute('aria-label', it.dataset.label + ' ' + at);
        });
        rows.appendChild(next);
      }
      if (next) { next.querySelector('[name]').focus(); }
    });
  });

  // Pressed twice in a hurry, a form is sent once; those with words in them look after themselves.
  document.addEventListener('submit', function (event) {
    var form = event.target, now = Date.now();
    if (event.defaultPrevented || form.method !== 'post' || form.dataset.draft || form.querySelector('textarea')) { return; }
    if (form.dataset.sent && now - form.dataset.sent < 3000) { event.preventDefault(); return; }
    form.dataset.sent = now;
  });

  // ---- where to begin ----
  var first = document.querySelector('[data-focus]');
  if (first) {
    var inside = first.matches('form') && first.querySelector('[aria-invalid], .wrong input, input:not([type=hidden]), select, textarea');
    (inside || first).focus();
  }
  all('.errors a, [data-lacks]').forEach(function (link) {
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

  // ---- a file that is read into a field, and sent with it ----
  all('[data-scripted]').forEach(function (part) { part.hidden = false; });
  all('[data-read]').forEach(function (input) {
    input.addEventListener('change', function () {
      var file = input.files[0], field = $(input.dataset.read);
      if (!file || file.size > 65536) { input.value = ''; return; }
      file.text().then(function (text) { field.value = text; field.form.submit(); });
    });
  });

  // ---- states move ----
  // What depends on how a record stands is asked for anew and put in place, unless somebody is writing there.
  var renewing = false;
  function renew() {
    var parts = all('[data-part]');
    if (renewing || !parts.length) { return; }
    var writing = parts.some(function (part) {
      return part.contains(document.activeElement) || all('textarea, input:not([type=hidden]), select', part).some(function (it) {
        return it.matches('select') ? !!it.value && !it.querySelector('option[selected]') : it.type === 'checkbox' || it.type === 'radio' ? it.checked !== it.defaultChecked : it.value !== it.defaultValue;
      });
    });
    if (writing) { $('rec-moved').hidden = false; return; }
    renewing = true;
    var request = new XMLHttpRequest();
    request.open('GET', location.pathname + location.search);
    request.responseType = 'document';
    request.onload = function () {
      renewing = false;
      var fresh = request.status === 200 && request.response;
      if (!fresh || !fresh.querySelector('[data-part]')) { return; }
      parts.forEach(function (part) {
        var next = fresh.getElementById(part.id);
        if (!next) { return; }
        part.replaceWith(document.adoptNode(next));
        all('form', next).forEach(function (form) { if (form.dataset.draft) { posted(form); } });
        phrases(next);
      });
      live = all('[data-live]');
    };
    request.onerror = function () { renewing = false; };
    request.send();
  }
  function mark(record) {
    var head = document.querySelector('#rec-stands');
    if (head && head.closest('[data-record]').dataset.record === record.id) {
      var status = head.querySelector('[data-status]'), pill = head.querySelector('[data-pill]');
      var old = (status ? status.textContent : '') + (pill ? pill.className : '');
      if (old !== record.status + 'state state-' + record.state) { renew(); }
    }
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

  // ---- several at once ----
  all('[data-pick]').forEach(function (table) {
    var boxes = all('input[name=id]:not(:disabled)', table), whole = table.querySelector('[data-pick-all]');
    var bar = document.querySelector('[data-pick-bar]');
    if (!bar || !whole) { return; }
    var said = bar.querySelector('[data-pick-said]'), how = said.textContent, none = bar.querySelector('[data-pick-none]');
    var buttons = all('button[name=step]', bar);
    whole.hidden = false;
    var count = function () {
      var picked = boxes.filter(function (box) { return box.checked; }).length;
      boxes.forEach(function (box) { box.closest('tr').classList.toggle('picked', box.checked); });
      said.textContent = picked ? said.dataset.some.replace('#', picked) : how;
      none.hidden = !picked;
      bar.classList.toggle('bar-idle', !picked);
      buttons.forEach(function (button) { button.disabled = !picked; });
      whole.checked = picked > 0 && picked === boxes.length;
    };
    whole.addEventListener('change', function () { boxes.forEach(function (box) { box.checked = whole.checked; }); count(); });
    table.addEventListener('change', count);
    $('several').addEventListener('reset', function () { setTimeout(count, 0); });
    window.addEventListener('pageshow', count);
    count();
  });
  all('[data-due]').forEach(function (note) {
    var left = Number(note.dataset.due), said = note.querySelector('[data-due-left]');
    var clock = setInterval(function () {
      left -= 1;
      said.textContent = said.textContent.replace(/[0-9]+/, Math.max(left, 0));
      if (left < 0 && !document.querySelector('[data-pick] input:checked')) { clearInterval(clock); location.reload(); }
    }, 1000);
  });
  function phrases(root) {
    all('[data-phrase]', root).forEach(function (button) {
      button.addEventListener('click', function () {
        var texts = all('textarea', button.closest('form')), text = texts[texts.length - 1];
        if (!text) { return; }
        text.value += (text.value && !/\n$/.test(text.value) ? '\n' : '') + button.textContent;
        text.dispatchEvent(new Event('input', { bubbles: true }));
        text.focus();
      });
    });
  }
  phrases(document);

  // ---- what comes of a choice between values ----
  all('form[data-settle]').forEach(function (form) {
    var show = function () {
      all('input[data-result]:checked', form).forEach(function (it) {
        var place = $(it.dataset.result), words = it.dataset.from && $(it.dataset.from);
        var said = place.parentElement.querySelector('[data-result-said]');
        place.textContent = words ? words.value : it.dataset.text;
        if (said) { said.textContent = said.dataset.resultSaid; }
      });
    };
    form.addEventListener('input', show);
    form.addEventListener('change', show);
    show();
  });

  // ---- printing ----
  all('[data-print]').forEach(function (button) { button.addEventListener('click', function () { window.print(); }); });

  // ---- keys ----
  document.addEventListener('keydown', function (event) {
    if (typing(event)) { return; }
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      var owner = event.target.closest && event.target.closest('form.form');
      var main = owner && (document.querySelector('.btn-main[form="' + owner.id + '"]') || owner.querySelector('.btn-main'));
      if (main) { event.preventDefault(); main.click(); }
    }
    // A digit takes the choice of that place, and goes on to what follows.
    var chips = /^[1-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey && event.target.closest && event.target.closest('.chips');
    if (!chips || document.body.dataset.keys === undefined) { return; }
    var inputs = all('input', chips).filter(function (it) { return !it.closest('.chip').hidden; });
    var chosen = inputs[Number(event.key) - 1];
    if (!chosen) { return; }
    event.preventDefault();
    chosen.focus();
    chosen.click();
    if (chosen.type !== 'radio') { return; }
    var all_inputs = all('input:not([type=hidden]), select, textarea', chips.closest('form'));
    var after = all_inputs.filter(function (it) {
      return it.name !== chosen.name && (chips.compareDocumentPosition(it) & Node.DOCUMENT_POSITION_FOLLOWING) && it.offsetParent && !it.closest('details:not([open])');
    })[0];
    var group = after && after.type === 'radio' && chips.closest('form').querySelector('[name="' + after.name + '"]:checked');
    if (after) { (group || after).focus(); }
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
      var rows = all('[data-select] > li, .rows[data-live] > li, tbody.rows > tr');
      if (!rows.length) { return; }
      var at = rows.indexOf(document.querySelector('.rows > .selected'));
      var next = rows[Math.max(0, Math.min(rows.length - 1, at + (key === 'j' ? 1 : -1)))];
      rows.forEach(function (row) { row.classList.toggle('selected', row === next); });
      (next.querySelector('.title') || next.querySelector('a')).focus();
      next.scrollIntoView({ block: 'nearest' });
    } else if (key === 'enter' && event.target === document.body) {
      press(document.querySelector('.rows > .selected a'));
    }
  });
})();
