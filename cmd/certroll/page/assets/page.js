// Makes the filter immediate and brings in what a pass has changed. All of it
// is there without this too: by the form, by links, by loading the page again.
"use strict";

(() => {
  const body = document.body;
  const pulse = document.getElementById("pulse");
  const form = document.getElementById("filter");
  const search = document.getElementById("q");

  // Distances go on by themselves.
  const units = [[86400, "d", 2 * 86400], [3600, "h", 7200], [60, "min", 120], [1, "s", 0]];
  const far = (seconds) => {
    const [size, name] = units.find(([, , from]) => seconds >= from);
    return `${Math.floor(seconds / size)} ${name}`;
  };
  const distance = (at, now) => (at >= now ? `in ${far((at - now) / 1000)}` : `${far((now - at) / 1000)} ago`);
  // A moment that is over is said in the words of what it is the moment of.
  const over = {
    until: () => "now",
    passing: (at, now) => `under way for ${far((now - at) / 1000)}`,
  };
  const tick = () => {
    for (const t of document.querySelectorAll("time[data-distance]")) {
      const [at, now] = [Date.parse(t.dateTime), Date.now()];
      const words = at > now ? distance : over[t.dataset.distance] ?? distance;
      const text = words(at, now);
      if (t.textContent !== text) t.textContent = text;
    }
  };
  setInterval(tick, 10000);

  // What focus is on is found again by what it leads to.
  const focused = () => {
    const e = document.activeElement;
    return e && e.closest(".live") ? { href: e.getAttribute("href"), row: e.closest("tr") ? 1 : 0 } : null;
  };
  const refocus = (was) => {
    if (!was || !was.href) return;
    for (const a of document.querySelectorAll(".live a")) {
      if (a.getAttribute("href") === was.href && (a.closest("tr") ? 1 : 0) === was.row) {
        a.focus({ preventScroll: true });
        return;
      }
    }
  };

  let source = null; // of what passes have changed
  let under = null; // the load that is under way
  const load = async (address, push) => {
    if (under) under.abort();
    const mine = (under = new AbortController());
    if (push) history.replaceState(null, "", address); // a pass meanwhile asks for the same
    try {
      const answer = await fetch(address, { signal: mine.signal, headers: { Accept: "text/html" } });
      const text = await answer.text();
      if (mine.signal.aborted) return;
      const fresh = new DOMParser().parseFromString(text, "text/html");
      if (!fresh.getElementById("live")) throw new Error(`it answered ${answer.status}`);
      const was = focused();
      for (const part of fresh.querySelectorAll(".live[id]")) {
        const here = document.getElementById(part.id);
        if (here && here.innerHTML !== part.innerHTML) here.replaceChildren(...part.childNodes);
      }
      refocus(was);
      const [reset, newReset] = [document.getElementById("reset"), fresh.getElementById("reset")];
      if (reset && newReset) reset.hidden = newReset.hidden;
      document.title = fresh.title;
      body.dataset.pass = fresh.body.dataset.pass;
      tick();
      if (source && source.readyState === EventSource.OPEN) say("live", "live");
    } catch (e) {
      if (e.name !== "AbortError") say("not connected", "lost");
    } finally {
      if (under === mine) under = null;
    }
  };

  const say = (text, how) => {
    pulse.textContent = text;
    pulse.dataset.how = how;
  };

  // The form's address without what is empty.
  const wanted = () => {
    const q = new URLSearchParams();
    for (const [k, v] of new FormData(form)) if (v.trim() !== "") q.set(k, v.trim());
    return `?${q}`;
  };

  // A phone has room for the search; the other filters fold away unless one is on.
  const fold = document.getElementById("fold");
  if (fold && matchMedia("(max-width: 760px)").matches && document.getElementById("reset").hidden) fold.open = false;

  if (form && body.dataset.events) {
    let soon = 0;
    form.addEventListener("input", () => {
      clearTimeout(soon);
      soon = setTimeout(() => load(wanted(), true), 120);
    });
    form.addEventListener("submit", (e) => {
      e.preventDefault();
      clearTimeout(soon);
      load(wanted(), true);
    });
  }

  // A browser has few connections for a host: a page that is left, or in a tab
  // behind another one, has none.
  if (body.dataset.events && "EventSource" in window) {
    let later = 0;
    const leave = () => {
      clearTimeout(later);
      if (source) source.close();
      source = null;
    };
    const listen = () => {
      leave();
      if (document.hidden) return;
      source = new EventSource(`${body.dataset.events}?pass=${body.dataset.pass}`);
      source.addEventListener("open", () => {
        const again = pulse.dataset.how === "lost";
        say("live", "live");
        if (again) load(location.href);
      });
      source.addEventListener("pass", () => load(location.href));
      source.addEventListener("error", () => {
        say("not connected", "lost");
        // After an answer that is no stream, as a proxy's 502, nobody else tries again.
        if (source && source.readyState === EventSource.CLOSED) later = setTimeout(listen, 30000);
      });
    };
    listen();
    document.addEventListener("visibilitychange", listen);
    addEventListener("pagehide", leave);
    addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });
  }

  // Files have nobody to ask: the script searches an index.
  if (form && body.dataset.static !== undefined) {
    form.hidden = false;
    const rows = document.getElementById("rows");
    const before = [...rows.childNodes];
    let index = null;
    const make = (tag, text, name) => {
      const e = document.createElement(tag);
      e.textContent = text;
      if (name) e.className = name;
      return e;
    };
    const show = (found) => {
      const most = 200;
      const table = make("table", "");
      const rest = found.length > most ? `, the first ${most} of them` : "";
      table.append(make("caption", `${found.length.toLocaleString("en")} of ${index.length.toLocaleString("en")} certificates${rest}`));
      const head = table.createTHead().insertRow();
      for (const title of ["State", "Certificate", "Issuer", "Expires"]) {
        const th = make("th", title);
        th.scope = "col";
        head.append(th);
      }
      const list = table.createTBody();
      for (const c of found.slice(0, most)) {
        const row = list.insertRow();
        row.insertCell().append(make("span", c.w, `state ${c.s}`));
        const th = make("th", "", "what");
        th.scope = "row";
        const a = make("a", c.n);
        a.href = c.h;
        th.append(a);
        row.append(th, make("td", c.i), make("td", c.x ? `${c.x.slice(0, 10)} (${distance(Date.parse(c.x), Date.now())})` : "not issued yet"));
      }
      rows.replaceChildren(found.length ? table : make("p", "No certificate fits.", "empty"));
    };
    let loading = null;
    const filter = async () => {
      let failed = false;
      try {
        index = await (loading ??= fetch("search.json").then((answer) => answer.json()));
      } catch (e) {
        [loading, failed] = [null, true];
      }
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean); // as it is by now
      if (words.length === 0) rows.replaceChildren(...before);
      else if (failed) rows.replaceChildren(make("p", "The search needs search.json beside this page, and a web server that hands it out.", "empty"));
      else show(index.filter((c) => words.every((w) => c.t.includes(w))));
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (e) => { e.preventDefault(); filter(); });
  }

  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const typing = e.target.closest("input, select, textarea");
    if (typing) {
      if (e.key === "Escape") e.target.blur();
      return;
    }
    if (e.key === "/" && search) {
      e.preventDefault();
      search.focus();
      search.select();
    } else if (e.key === "j" || e.key === "k") {
      const links = [...document.querySelectorAll("#rows th.what > a[href]")];
      const at = links.indexOf(document.activeElement.closest("tr") ? document.activeElement.closest("tr").querySelector("th.what > a") : null);
      const next = links[Math.min(links.length - 1, Math.max(0, at + (e.key === "j" ? 1 : -1)))];
      if (next) next.focus();
    }
  });
})();
