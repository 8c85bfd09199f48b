(() => {
  const events = new EventSource("events");
  let busy = false, again = false;
  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(".");
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const open = [...document.querySelectorAll("details")].map((one) => one.open);
      for (const name of ["header", "main", "footer"]) {
        document.querySelector(name).replaceWith(document.adoptNode(fresh.querySelector(name)));
      }
      document.title = fresh.title;
      document.querySelectorAll("details").forEach((one, k) => { one.open = Boolean(open[k]); });
      sliders();
    } catch { /* the server has ended */ } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  }
  events.addEventListener("changed", refresh);
  events.addEventListener("ended", () => { events.close(); page.classList.add("ended"); refresh(); });
})();
