// Parts of [data-tabs] become tabs, as the ARIA practices describe them, and [data-copy] copies the
// code beside it. Without this script all parts are shown and nothing is to be pressed.
(function () {
  document.querySelectorAll("[data-tabs]").forEach(function (box) {
    var panels = Array.from(box.querySelectorAll("[data-tab]"));
    var list = document.createElement("div");
    list.className = "tabs";
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", box.dataset.tabs);

    var tabs = panels.map(function (panel) {
      var tab = document.createElement("button");
      tab.type = "button";
      tab.id = panel.id + "-tab";
      tab.textContent = panel.dataset.tab;
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", tab.id);
      panel.querySelector("h3").hidden = true;
      tab.addEventListener("click", function () { choose(tab); });
      list.append(tab);
      return tab;
    });

    function choose(chosen) {
      tabs.forEach(function (tab, place) {
        tab.setAttribute("aria-selected", String(tab === chosen));
        tab.tabIndex = tab === chosen ? 0 : -1;
        panels[place].hidden = tab !== chosen;
      });
    }

    list.addEventListener("keydown", function (event) {
      var at = tabs.indexOf(document.activeElement);
      var to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      var tab = tabs[(to + tabs.length) % tabs.length];
      choose(tab);
      tab.focus();
    });

    box.prepend(list);
    choose(tabs[0]);
  });

  if (!navigator.clipboard) return;  // on plain http from another machine there is none
  document.querySelectorAll("[data-copy]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", async function () {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      document.getElementById("copied").textContent = "Copied.";
      button.classList.add("copied");
      setTimeout(function () { button.classList.remove("copied"); }, 1500);
    });
  });
})();
