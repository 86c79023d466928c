// Polls /status once a second and shows it. Everything from the node goes into the page as text, never as markup.
'use strict';

const PERIOD_MS = 1000;
const HISTORY = 120;

const element = (id) => document.getElementById(id);
const show = (id, text, bad = false) => {
  element(id).textContent = text;
  element(id).classList.toggle('bad', bad);
};

const count = (n) => n == null ? '–' : Math.round(n).toLocaleString('en-US');
const micros = (us) => us == null ? '–' : us < 1000 ? `${us} µs` : us < 1e6 ? `${(us / 1e3).toFixed(1)} ms` : `${(us / 1e6).toFixed(1)} s`;
const bytes = (n) => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit += 1; }
  return `${unit ? n.toFixed(1) : n} ${units[unit]}`;
};
const duration = (s) => s < 60 ? `${s}s` : s < 3600 ? `${Math.floor(s / 60)}m` : s < 86400 ? `${Math.floor(s / 3600)}h ${Math.floor(s / 60) % 60}m` : `${Math.floor(s / 86400)}d ${Math.floor(s / 3600) % 24}h`;

function rows(id, lines, none) {
  const body = element(id);
  body.replaceChildren(...(lines.length ? lines : [[none]]).map((cells) => {
    const row = document.createElement('tr');
    for (const cell of cells) {
      const place = document.createElement('td');
      const [text, bad] = Array.isArray(cell) ? cell : [cell, false];
      place.textContent = text;
      place.classList.toggle('bad', bad);
      row.append(place);
    }
    if (!lines.length) { row.firstChild.colSpan = 99; }
    return row;
  }));
}

const sum = (object) => Object.values(object).reduce((all, n) => all + n, 0);

// What was recorded since the last look: the bound under which a part q of it lies.
function quantile(now, before, q) {
  const old = new Map(before);
  const fresh = now.map(([bound, n]) => [bound, n - (old.get(bound) ?? 0)]).filter(([, n]) => n > 0);
  const rank = Math.ceil(fresh.reduce((all, [, n]) => all + n, 0) * q);
  let seen = 0;
  for (const [bound, n] of fresh) {
    seen += n;
    if (seen >= rank) { return bound ?? Infinity; }
  }
  return null;
}

let last = null;
let history = [];

function draw(rate) {
  history = [...history, rate].slice(-HISTORY);
  const most = Math.max(1, ...history);
  const step = 600 / (HISTORY - 1);
  const from = HISTORY - history.length;
  element('line').setAttribute('points', history.map((value, i) => `${((from + i) * step).toFixed(1)},${(78 - 76 * value / most).toFixed(1)}`).join(' '));
  show('most', count(most));
}

function render(status, at) {
  const t = status.totals;
  const since = last && last.status.pid === status.pid ? last : null;
  const seconds = since ? (at - since.at) / 1000 : 0;
  const rate = (now, before) => since && now >= before ? (now - before) / seconds : null;
  document.title = `${status.node} – pubsub-server`;
  show('node', status.node);
  show('state', status.status, status.status !== 'ok');
  show('about', `up ${duration(status.uptime_s)}, version ${status.version}, clients at ${status.listen}, supervisor ${status.pid}, epoch ${status.epoch || 'none yet'}`);
  show('connections', count(t.connections));
  show('subscriptions', count(t.subscriptions));
  show('behind', count(t.behind), t.behind > 0);
  show('published', count(rate(t.published, since?.status.totals.published)));
  const delivered = rate(t.delivered, since?.status.totals.delivered);
  show('delivered', count(delivered));
  if (delivered != null) { draw(delivered); }
  const buckets = since ? since.status.totals.delivery.buckets : [];
  for (const [id, q] of [['p50', 0.5], ['p99', 0.99]]) {
    const us = quantile(t.delivery.buckets, buckets, q);
    show(id, us === Infinity ? 'over 60 s' : micros(us));
  }
  const lost = rate(sum(t.lost), since ? sum(since.status.totals.lost) : 0);
  show('lost', count(lost), lost > 0);
  const before = new Map((since?.status.workers ?? []).map((worker) => [worker.slot, worker.delivered]));
  rows('workers', status.workers.map((w) => [
    w.slot, w.pid || '–',
    w.blocked_ms == null ? [w.state, w.state !== 'up'] : [`${w.state}, blocked for ${w.blocked_ms} ms`, true],
    count(w.connections), count(w.subscriptions), count(w.behind),
    count(rate(w.delivered, before.get(w.slot) ?? w.delivered)),
    micros(w.loop_lag_us), bytes(w.rss_bytes), [w.restarts, w.restarts > 0],
  ]), 'no workers');
  const h = status.hub;
  show('hub', `${h.state}, pid ${h.pid || '–'}, ${h.restarts} restarts, ${h.workers} workers linked, ${count(status.topics)} topics, ${count(h.keys)} keys, log ${bytes(h.log_bytes)} in ${count(h.log_entries)} entries, offsets ${h.first} to ${h.head}, memory ${bytes(h.rss_bytes)}`, h.state !== 'up');
  const l = h.log;
  const disk = l.folder == null ? '' : `, in ${l.folder}, ${count(l.segments)} segments, sync ${l.sync}, acknowledged ${l.acknowledged}, synced ${l.synced == null ? 'never' : `${l.synced} (${count(l.unsynced_ms)} ms behind)`}, ${l.free_bytes == null ? '–' : bytes(l.free_bytes)} free${l.space_short ? ', too little' : ''}, ${count(l.refused)} refused, holes: ${l.holes.damaged} damaged, ${l.holes.skipped} skipped`;
  show('log', `${l.kind}${disk}, ${count(h.workers_behind)} workers behind, ${count(h.reads_waiting)} reads waiting${h.restoring ? ', newest values are still being read from it' : ''}`, l.space_short || l.holes?.damaged > 0);
  const reasons = [['lost', t.lost], ['refused', t.rejected], ['closed', t.closed]];
  rows('reasons', reasons.flatMap(([what, by]) => Object.entries(by).filter(([, n]) => n > 0).map(([reason, n]) => [what, reason, count(n)])), 'none');
  rows('slowest', (status.slowest ?? []).map((s) => [
    s.worker, s.session, s.topic, s.mode, count(s.lag.messages), bytes(s.lag.bytes), `${count(s.lag.age_ms)} ms`, s.overflow, s.settings,
  ]), status.slowest ? 'no subscription is behind' : 'the supervisor cannot be asked');
  last = { status, at };
}

async function poll() {
  try {
    const response = await fetch('status', { cache: 'no-store' });
    if (!response.ok) { throw new Error(`HTTP ${response.status}`); }
    render(await response.json(), performance.now());
  } catch (error) {
    show('state', `not reached: ${error.message}`, true);
  }
  setTimeout(poll, PERIOD_MS);
}

poll();
