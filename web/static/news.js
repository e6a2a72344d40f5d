// Says on the page of one picture that it was changed meanwhile: by another person's verdict, or by a redo.

// What of a picture others can change.
function signature(loupe) {
  const found = loupe.querySelectorAll("[name=result], [name=based_on], .strip [data-picture], .redoing");
  return JSON.stringify([...found].map((each) => each.value ?? `${each.className} ${each.dataset.picture ?? each.textContent}`));
}

document.addEventListener("recast:changed", async ({ detail }) => {
  const loupe = document.getElementById("loupe");
  const { job, place } = loupe.dataset;
  if (!job || !detail.jobs.includes(job)) return;
  const picture = loupe.querySelector("[data-picture][aria-current]")?.dataset.picture;
  const query = new URLSearchParams({ job, ...(picture ? { picture } : {}) });
  try {
    const answer = await fetch(`${place}?${query}&ahead=1`, { headers: { Accept: "text/html" }, cache: "no-store", redirect: "manual" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("loupe");
    const now = document.getElementById("loupe");
    if (!fresh || now.dataset.job !== job || signature(fresh) === signature(now)) return;
    const link = Object.assign(document.createElement("a"), { href: `${place}?${query}`, textContent: "show it" });
    const news = document.getElementById("news");
    news.dataset.job = job;
    news.replaceChildren("This picture has changed meanwhile: ", link);
  } catch {
    // The page says by itself when the server does not answer.
  }
});

// The news is of one picture: with the next one it is over.
new MutationObserver(() => {
  const news = document.getElementById("news");
  if (news.dataset.job && news.dataset.job !== document.getElementById("loupe").dataset.job) {
    delete news.dataset.job;
    news.replaceChildren();
  }
}).observe(document.getElementById("main"), { childList: true });
