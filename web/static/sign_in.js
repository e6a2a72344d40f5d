// Sends on the key of a link that signs in. It stands behind the `#`, so that no server and no log has seen it.
"use strict";

const sent = new URLSearchParams(location.hash.slice(1)).get("key");
if (sent) {
  // Out of the address, and of the history.
  history.replaceState(null, "", location.pathname + location.search);
  const form = document.querySelector("form.door");
  form.elements.key.value = sent;
  form.submit();
}
