// One key per answer. Without this script the same buttons are pressed by hand.
(function () {
  function isWriting(target) {
    return target.closest("input:not([type=hidden]), textarea, select, [contenteditable]");
  }

  function buttonOf(event) {
    var page = document.getElementById("labelling");
    if (!page) return null;
    if (event.key === "Enter") {
      if (isWriting(event.target)) {
        return event.ctrlKey ? page.querySelector("button[value=answer]") : null;
      }
      if (event.target.closest("button, a, summary")) return null; // it is that which is pressed
      return page.querySelector("[data-key-enter]");
    }
    if (isWriting(event.target) || event.ctrlKey || event.metaKey || event.altKey) return null;
    return page.querySelector('[data-key="' + CSS.escape(event.key.toLowerCase()) + '"]');
  }

  document.addEventListener("keydown", function (event) {
    if (event.repeat || document.querySelector("#labelling.htmx-request, #labelling .htmx-request")) return;
    var button = buttonOf(event);
    if (!button) return;
    event.preventDefault();
    button.click();
  });
})();
