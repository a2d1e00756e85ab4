// The answer panel in the browser. One answer at a time: locked from the press until the server
// says what became of that very answer (its id comes back), sent again while nothing is heard.
const RESEND_MS = [6000, 4000, 4000, 8000];
const AGAIN_MS = 600;  // a second Skip or Undo sooner than this after a new pair is a double press
const QUESTIONS = ["in_character", "helpful", "safe"];
const OPTIONS = [["yes", "Yes"], ["no", "No"], ["unsure", "Not sure"]];
const TAG_KEYS = "qwedgvbnmx";  // while the reasons are open; C and R belong to Streamlit
const QUESTION_KEYS = { j: "in_character", k: "helpful", l: "safe" };
const STORE = "personaloop:";

class Panel {
  constructor(root) {
    this.root = root;
    this.token = null;
    this.pending = null;
    this.readyAt = 0;
    this.restsUntil = 0;
    this.lastAct = null;
    this.canUndo = false;
    this.heard = null;
    this.built = false;
    this.onKey = (event) => this.key(event);
    this.onOutside = (event) => {
      if (!event.target.closest || !event.target.closest(".pl-menu")) this.menu(false);
    };
    root.addEventListener("click", (event) => this.click(event));
    root.addEventListener("input", () => this.saveDraft());
    root.addEventListener("change", () => this.saveDraft());
  }

  join() {  // again and again is fine: the page may leave a panel and come back to it
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("pointerdown", this.onOutside);
  }

  leave() {  // its timers go on: what was pressed is still to be sent if the panel comes back
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("pointerdown", this.onOutside);
  }

  $(selector) { return this.root.querySelector(selector); }
  $all(selector) { return Array.from(this.root.querySelectorAll(selector)); }

  receive(data) {
    if (!this.built) this.build(data);
    const status = data.status;
    let words = null;
    if (this.token === null) {  // fresh on the page: what was under way before belongs to us
      const kept = this.read("pending");
      if (kept && status && kept.id === status.answer) this.pending = kept;
    }
    if (status && status.answer !== this.heard) {
      if (status.kind !== "retry") this.heard = status.answer;
      if (this.pending && status.answer === this.pending.id) {
        if (status.kind === "retry") {
          this.schedule(2500);
        } else {
          this.forget(this.pending);
          words = status;
        }
      } else if (this.token !== null) {
        words = status;
      }
      if (status.kind === "retry") words = status;
    }
    if (data.token !== this.token) this.show(data);
    else if (words && data.wait_ms > 0) this.wait(data.wait_ms);  // the server said: too soon
    if (words) this.say(words.words, words.kind);
    this.canUndo = data.can_undo;
    this.refresh();
  }

  reasons(names) {  // each persona has its own
    const key = JSON.stringify(names);
    if (this.named === key) return;
    this.named = key;
    for (const old of this.$all(".pl-tags label")) old.remove();
    names.forEach((tag, index) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.value = tag;
      if (TAG_KEYS[index]) label.dataset.key = TAG_KEYS[index];
      label.append(box, tag);
      this.$(".pl-tags").append(label);
    });
  }

  build(data) {
    this.built = true;
    for (const name of QUESTIONS) {
      const set = this.$(`[data-question=${name}]`);
      for (const [value, words] of OPTIONS) {
        const label = document.createElement("label");
        const radio = document.createElement("input");
        radio.type = "radio";
        radio.name = `pl-${name}`;
        radio.value = value;
        label.append(radio, words);
        set.append(label);
      }
    }
    const flag = this.$("select");
    for (const value of ["", ...data.flags]) {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = value ? `Flag: ${value}` : "Flag…";
      flag.append(option);
    }
    const choices = this.$(".pl-choices");
    for (const reason of data.skip_reasons) {
      const choice = document.createElement("button");
      choice.type = "button";
      choice.dataset.act = "reason";
      choice.textContent = reason;
      choice.dataset.key = String(choices.children.length + 1);
      choices.append(choice);
    }
  }

  show(data) {
    const first = this.token === null;
    this.token = data.token;
    const mark = this.$("[data-testid=assignment]");
    mark.textContent = data.token;
    mark.dataset.token = data.token;
    mark.dataset.assignment = data.token;
    this.practice = data.practice;
    this.root.classList.toggle("is-practice", data.practice);
    this.root.classList.toggle("is-empty", !data.token);
    const changing = this.$(".pl-changing");
    changing.textContent = data.changing;
    changing.hidden = !data.changing;
    this.reasons(data.tags);
    this.readDraft();
    this.menu(false);
    for (const each of this.$all("details")) each.open = false;
    this.wait(data.wait_ms);
    this.restsUntil = performance.now() + AGAIN_MS;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.refresh(), AGAIN_MS + 10);
    if (!first) {
      const main = this.root.closest('[data-testid="stMain"]');
      if (main) main.scrollTo({ top: 0, behavior: "instant" });
    }
    const kept = this.read("pending");
    if (kept && this.pending === null) {
      if (kept.token === this.token && kept.act !== "undo") {
        this.pending = kept;
        this.say("Sending your last answer again…", "retry");
        this.schedule(Math.max(data.wait_ms, 0) + 300);
      } else {
        this.drop("pending");
      }
    }
  }

  wait(ms) {
    this.readyAt = performance.now() + ms;
    const line = this.$(".pl-wait i");
    const fresh = line.cloneNode();
    fresh.style.animationDuration = `${ms}ms`;
    fresh.className = ms > 0 ? "is-filling" : "";
    line.replaceWith(fresh);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.refresh(), ms + 10);
  }

  locked() { return this.pending !== null && this.pending.token === this.token; }
  ready() { return performance.now() >= this.readyAt; }
  rests(act) { return this.lastAct === act && performance.now() < this.restsUntil; }

  refresh() {
    const waits = this.locked() || !this.ready() || !this.token;
    for (const button of this.$all("[data-verdict]")) {
      button.setAttribute("aria-disabled", String(waits));
      const chosen = this.locked() && this.pending.act === "judge"
        && button.dataset.verdict === this.pending.verdict
        && (Number(button.dataset.strength) || null) === this.pending.strength;
      button.classList.toggle("is-chosen", chosen);
    }
    const cannot = {
      skip: this.locked() || !this.token || this.rests("skip"),
      undo: !this.canUndo || this.rests("undo"),
    };
    for (const [act, no] of Object.entries(cannot)) {
      this.$(`[data-act=${act}]`).setAttribute("aria-disabled", String(no));
    }
    this.root.classList.toggle("is-busy", this.locked());
  }

  click(event) {
    const radio = event.target.closest("input[type=radio]");
    if (radio) {  // a second click takes the answer back
      if (radio.dataset.was === "on") radio.checked = false;
      for (const each of this.$all(`input[name=${radio.name}]`)) {
        each.dataset.was = each.checked ? "on" : "";
      }
      this.saveDraft();
      return;
    }
    const button = event.target.closest("button");
    if (!button || !this.root.contains(button)) return;
    const { verdict, strength, act } = button.dataset;
    if (verdict) this.judge(verdict, Number(strength) || null);
    else if (act === "skip") this.answer({ act: "skip", reason: "" });
    else if (act === "reason") this.answer({ act: "skip", reason: button.textContent });
    else if (act === "reasons") this.menu(button.getAttribute("aria-expanded") !== "true");
    else if (act === "undo") this.undo();
    else if (act === "help") this.$("dialog").showModal();
  }

  key(event) {
    if (!this.root.isConnected) return this.leave();
    const from = event.composedPath()[0];
    if (from === this.$("textarea")) {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.saveDraft();
        this.root.focus();
        this.say(from.value.trim() ? "Comment kept; it goes with your answer" : "No comment", "note");
      } else if (event.key === "Escape") {
        this.root.focus();
      }
      return;
    }
    if (from === this.$("select") && ["Escape", "Enter"].includes(event.key)) {
      event.preventDefault();
      return this.root.focus();
    }
    if (event.key === "Escape") return this.menu(false, true);
    if (typing(from) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open], [role=dialog][aria-modal=true]")) return;
    if (event.repeat) {  // a held key speaks once
      if (/^[0-5su]$/i.test(event.key)) event.preventDefault();
      return;
    }
    if (this.practice && !/^[0-5?]$/.test(event.key)) return;
    const choice = this.choice(event.key);
    const act = choice || {
      1: () => this.judge("a", 2),
      2: () => this.judge("a", 1),
      3: () => this.judge("tie", null),
      4: () => this.judge("b", 1),
      5: () => this.judge("b", 2),
      0: () => this.judge("both_bad", null),
      s: () => this.answer({ act: "skip", reason: "" }),
      i: () => { if (this.token) this.menu(true); },
      u: () => this.undo(),
      t: () => this.why(),
      f: () => this.$("select").focus(),
      "?": () => this.$("dialog").showModal(),
      ...this.detailKeys(),
    }[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  detailKeys() {
    const keys = {};
    for (const [key, name] of Object.entries(QUESTION_KEYS)) keys[key] = () => this.turn(name);
    if (this.$(".pl-why").open) {
      this.$all(".pl-tags input").forEach((box, index) => {
        if (TAG_KEYS[index]) keys[TAG_KEYS[index]] = () => { box.click(); };
      });
    }
    return keys;
  }

  turn(name) {  // yes, no, not sure, open again
    if (!this.token) return;
    this.$(".pl-questions").open = true;
    const radios = this.$all(`input[name=pl-${name}]`);
    const at = radios.findIndex((radio) => radio.checked);
    radios.forEach((radio, index) => {
      radio.checked = index === at + 1;
      radio.dataset.was = radio.checked ? "on" : "";
    });
    this.saveDraft();
  }

  judge(verdict, strength) {
    if (!this.token || this.locked()) return;
    if (!this.ready()) {
      this.say("A moment: read both replies first", "note");
      return;
    }
    this.answer({ act: "judge", verdict, strength });
  }

  undo() {
    if (!this.canUndo) {
      if (!this.locked()) this.say("Nothing to undo", "note");
      return;
    }
    this.answer({ act: "undo" });
  }

  answer(what) {
    if (this.locked() || (!this.token && what.act !== "undo") || this.rests(what.act)) return;
    const stage = document.querySelector(".pl-stage");
    if (this.token && stage && stage.dataset.pair !== this.token) return;
    this.menu(false);
    this.lastAct = what.act;
    this.pending = { ...what, id: randomId(), token: this.token, details: this.details() };
    this.tries = 0;
    this.write("pending", this.pending);
    this.say("Saving…", "busy");
    this.refresh();
    this.transmit();
  }

  transmit() {
    if (!this.pending || !this.root.isConnected) return;
    if (this.tries > 0) {
      this.say("Not saved yet: no answer from the server. Your choice is kept and sent again.", "retry");
    }
    this.schedule(RESEND_MS[Math.min(this.tries, RESEND_MS.length - 1)]);
    this.tries = (this.tries || 0) + 1;
    this.send(this.pending);
  }

  schedule(ms) {
    clearTimeout(this.resend);
    this.resend = setTimeout(() => this.transmit(), ms);
  }

  forget(pending) {
    clearTimeout(this.resend);
    this.pending = null;
    this.drop("pending");
    this.drop(`draft:${pending.token}`);
  }

  say(words, kind) {
    const status = this.$(".pl-status");
    status.dataset.kind = kind;
    clearTimeout(this.speaking);
    if (status.textContent !== words) {
      status.textContent = words;
    } else {  // the same words again are announced again
      status.textContent = "";
      this.speaking = setTimeout(() => { status.textContent = words; }, 20);
    }
  }

  menu(open, back = false) {
    const button = this.$("[data-act=reasons]");
    const choices = this.$(".pl-choices");
    const was = !choices.hidden;
    button.setAttribute("aria-expanded", String(open));
    choices.hidden = !open;
    if (open) choices.querySelector("button").focus();
    else if (was && back) button.focus();
  }

  choice(key) {  // while the reasons to skip are open, keys are theirs and no verdict is given
    const choices = this.$all(".pl-choices button");
    if (this.$(".pl-choices").hidden || !choices.length) return null;
    if (/^[0-9]$/.test(key)) return () => { if (choices[key - 1]) choices[key - 1].click(); };
    const at = choices.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[key];
    if (to === undefined) return null;
    return () => choices.at(to % choices.length).focus();
  }

  why() {
    const details = this.$(".pl-why");
    details.open = !details.open;
    if (details.open) details.querySelector("input").focus();
    else this.root.focus();
  }

  details() {
    const found = { tags: this.$all(".pl-tags input:checked").map((box) => box.value) };
    for (const name of QUESTIONS) {
      const chosen = this.$(`input[name=pl-${name}]:checked`);
      if (chosen) found[name] = chosen.value;
    }
    const comment = this.$("textarea").value.trim();
    if (comment) found.comment = comment;
    if (this.$("select").value) found.flag = this.$("select").value;
    return found;
  }

  saveDraft() {
    this.marks();
    if (this.token) this.write(`draft:${this.token}`, this.details());
  }

  readDraft() {
    const draft = this.read(`draft:${this.token}`) || {};
    for (const box of this.$all(".pl-tags input")) box.checked = (draft.tags || []).includes(box.value);
    for (const name of QUESTIONS) {
      for (const radio of this.$all(`input[name=pl-${name}]`)) {
        radio.checked = draft[name] === radio.value;
        radio.dataset.was = radio.checked ? "on" : "";
      }
    }
    this.$("textarea").value = draft.comment || "";
    this.$("select").value = draft.flag || "";
    this.marks();
  }

  marks() {  // what is filled in shows on the closed drawers too
    const given = this.details();
    this.$(".pl-why").classList.toggle("has-some", given.tags.length > 0 || !!given.comment);
    this.$(".pl-questions").classList.toggle("has-some", QUESTIONS.some((name) => given[name]));
    this.$(".pl-flag").classList.toggle("has-some", !!given.flag);
  }

  read(name) {
    try { return JSON.parse(sessionStorage.getItem(STORE + name)); } catch { return null; }
  }
  write(name, value) {
    try { sessionStorage.setItem(STORE + name, JSON.stringify(value)); } catch { /* private mode */ }
  }
  drop(name) {
    try { sessionStorage.removeItem(STORE + name); } catch { /* private mode */ }
  }
}

function typing(element) {
  if (!(element instanceof Element)) return false;
  if (element.isContentEditable || element.closest("textarea, select")) return true;
  const input = element.closest("input");
  return !!input && !["checkbox", "radio", "button", "submit"].includes(input.type);
}

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export default function (component) {
  const root = component.parentElement.querySelector(".pl-panel");
  if (!root.panel) root.panel = new Panel(root);
  const panel = root.panel;
  panel.send = (answer) => component.setTriggerValue("answer", answer);
  panel.join();
  panel.receive(component.data);
  return () => panel.leave();
}
