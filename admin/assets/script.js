// Nothing here is needed: times also in local time and up to date, buttons that copy, figures and rows that refresh, keys.
"use strict";

// ---- Times: the age grows while one looks; the exact time is there on hover.
function age(seconds) {
  const passed = Math.abs(seconds);
  if (passed < 2) return "just now";
  const [number, unit] = passed < 120 ? [passed, "s"] : passed < 7200 ? [passed / 60, "min"]
    : passed < 172800 ? [passed / 3600, "h"] : [passed / 86400, "d"];
  return seconds < 0 ? `in ${Math.floor(number)} ${unit}` : `${Math.floor(number)} ${unit} ago`;
}
// This machine's clock may be wrong: ages are counted on from those the page came with.
const loaded = performance.now();
function times(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    if (time.dataset.local) continue;
    time.dataset.local = "1";
    time.title = `${time.title}\n${new Date(time.dateTime).toLocaleString()} local time`;
  }
}
let served = Date.parse(document.querySelector("meta[name=served-at]")?.content ?? "");
let servedAt = loaded;
function grow() {
  if (Number.isNaN(served)) return;
  const now = served + (performance.now() - servedAt);
  for (const time of document.querySelectorAll("time[datetime]")) {
    const shown = time.querySelector(".age");
    if (shown) shown.textContent = age(Math.trunc((now - Date.parse(time.dateTime)) / 1000));
  }
}
times(document);
setInterval(grow, 1000);

// ---- Buttons that copy.
function copies(root) {
  if (!navigator.clipboard) return;
  for (const source of root.querySelectorAll("[data-copy]")) {
    if (source.nextElementSibling?.classList.contains("copy")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    source.after(button);
  }
}
copies(document);

// ---- Live: elements with data-live and an id are exchanged for those of the same page, asked for anew. Nothing moves under a hand:
// not while a row is ticked, a field has the focus, a text is selected, something is unfolded, or nobody looks. The request says that no
// person made it, so a screen somebody walked away from is logged out all the same.
const EVERY = 5000;
const parts = () => [...document.querySelectorAll("[data-live][id]")];
function busy() {
  const active = document.activeElement;
  return document.hidden
    || (active && active.matches("input, select, textarea"))
    || document.querySelector("main input[type=checkbox]:checked, [data-live] details[open], dialog[open]") !== null
    || !(getSelection()?.isCollapsed ?? true);
}
async function refresh() {
  if (busy()) return;
  const answer = await fetch(location.href, { headers: { "X-Live": "1", "Accept": "text/html" }, cache: "no-store" });
  if (answer.redirected) return location.reload();
  if (!answer.ok || busy()) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const at = Date.parse(fresh.querySelector("meta[name=served-at]")?.content ?? "");
  if (!Number.isNaN(at)) { served = at; servedAt = performance.now(); }
  const current = rows().indexOf(lit());
  const focused = document.activeElement?.getAttribute("href");
  for (const part of parts()) {
    const other = fresh.getElementById(part.id);
    if (!other) continue;
    const kept = part.contains(document.activeElement);
    part.replaceWith(document.adoptNode(other));
    times(other);
    copies(other);
    if (kept && focused) [...other.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === focused)?.focus();
  }
  if (current >= 0) light(current, false);
}
async function live() {
  try { await refresh(); } catch { /* The next one may work; the page stays as it is. */ }
  setTimeout(live, EVERY * (0.9 + 0.2 * Math.random()));
}
if (parts().length > 0) setTimeout(live, EVERY);

// ---- Keys.
const rows = () => [...document.querySelectorAll("main .rows tbody tr, main section.card.item")];
const lit = () => document.querySelector("main .lit");
function light(at, focus = true) {
  const all = rows();
  const row = all[Math.max(0, Math.min(at, all.length - 1))];
  if (!row) return;
  lit()?.classList.remove("lit");
  row.classList.add("lit");
  row.scrollIntoView({ block: "nearest" });
  if (focus) row.querySelector("a[href]")?.focus({ preventScroll: true });
}
function key(name) {
  const target = (lit() ?? document).querySelector(`[data-key="${name}"]`) ?? document.querySelector(`[data-key="${name}"]`);
  if (!target) return false;
  // What changes something is only gone to: a key alone does nothing.
  if (target.tagName === "A") target.click(); else target.focus();
  return true;
}
const KEYS = [["j", "next row"], ["k", "row before"], ["Enter", "open the row"], ["x", "tick the row"], ["r", "go to replay"], ["e", "go to edit"],
  ["/", "search"], ["?", "these keys"]];
function help() {
  let dialog = document.getElementById("keys");
  if (!dialog) {
    dialog = document.createElement("dialog");
    dialog.id = "keys";
    const title = document.createElement("h2");
    title.textContent = "Keys";
    const list = document.createElement("dl");
    for (const [name, what] of KEYS) {
      const term = document.createElement("dt");
      const sign = document.createElement("kbd");
      sign.textContent = name;
      term.append(sign);
      const said = document.createElement("dd");
      said.textContent = what;
      list.append(term, said);
    }
    dialog.append(title, list);
    dialog.addEventListener("click", () => dialog.close());
    document.body.append(dialog);
  }
  if (dialog.open) dialog.close(); else dialog.showModal();
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target instanceof Element && event.target.matches("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const at = rows().indexOf(lit());
  switch (event.key) {
    case "j": light(at + 1); break;
    case "k": light(at < 0 ? 0 : at - 1); break;
    case "x": lit()?.querySelector("input[type=checkbox]")?.click(); break;
    case "r": case "e": if (!key(event.key)) return; break;
    case "/": {
      const search = document.querySelector("main input[type=search], main form[role=search] input:not([type=hidden])");
      if (!search) return;
      search.focus();
      break;
    }
    case "?": help(); break;
    default: return;
  }
  event.preventDefault();
});
