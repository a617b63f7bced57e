(() => {
  // What is told first may be news already. It is what this page is of, or else the page is loaded anew: once, since
  // a cache may give the same again. Who looks away needs no connection, of which a browser has six for a host.
  const of = "GENERATION", key = "nano dev";
  let events;
  const told = ({ data }) => {
    const news = of + " " + data;
    if (data === of || sessionStorage.getItem(key) === news) return;
    sessionStorage.setItem(key, news);
    location.reload();
  };
  const listen = () => {
    events?.close();
    events = undefined;
    if (document.visibilityState === "hidden") return;
    events = new EventSource(location.origin + "EVENTS");
    events.onmessage = told;
  };
  document.addEventListener("visibilitychange", listen);
  listen();
})();
