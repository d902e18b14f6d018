// Labels as chips: each line of a textarea marked data-chips ("label: description") is one, to be
// renamed, described, removed or added to. The textarea stays what is sent; without this script it
// is edited as it stands.

for (const area of document.querySelectorAll("textarea[data-chips]")) makeChips(area);

function makeChips(area) {
  const list = document.createElement("ul");
  list.className = "chips";
  list.setAttribute("aria-label", area.labels[0]?.firstChild.textContent.trim() || "Labels");
  const add = button("Add a label", "+ Add a label");
  add.addEventListener("click", () => {
    const chip = chipOf("", "");
    list.append(chip);
    chip.querySelector("input").focus();
  });
  for (const line of area.value.split("\n")) {
    if (line.trim()) list.append(chipOf(...parts(line)));
  }
  area.hidden = true;
  area.after(list, add);

  function chipOf(label, note) {
    const chip = document.createElement("li");
    chip.className = "chip";
    const name = input(label, "Label");
    const description = input(note, "What an input of it is like");
    const remove = button(`Remove ${label || "this label"}`, "×");
    remove.addEventListener("click", () => {
      chip.remove();
      write();
      add.focus();
    });
    for (const field of [name, description]) {
      field.addEventListener("input", write);
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        add.click();
      });
    }
    chip.append(name, description, remove);
    return chip;
  }

  function write() {
    const lines = [...list.children].map((chip) => {
      const [label, note] = [...chip.querySelectorAll("input")].map((field) => field.value.trim());
      return label && note ? `${label}: ${note}` : label;
    });
    area.value = lines.filter(Boolean).join("\n");
  }
}

function parts(line) {
  const at = line.indexOf(": ");
  return at < 0 ? [line.trim(), ""] : [line.slice(0, at).trim(), line.slice(at + 2).trim()];
}

function input(value, name) {
  const field = document.createElement("input");
  field.type = "text";
  field.value = value;
  field.placeholder = name;
  field.setAttribute("aria-label", name);
  return field;
}

function button(name, text) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "button button-small";
  made.textContent = text;
  made.setAttribute("aria-label", name);
  return made;
}
