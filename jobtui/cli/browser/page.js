"use strict";

// The address of the websocket, for textual.js: it is relative to the page's, so that a proxy may add a path.
const address = new URL("ws", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
document.getElementById("terminal").dataset.sessionWebsocketUrl = address.href;

document.getElementById("again").addEventListener("click", () => location.reload());

// ctrl+v pastes what the user copied anywhere. The terminal would send the key instead, and cancel the paste.
document.addEventListener(
  "keydown",
  (event) => {
    if (event.ctrlKey && !event.altKey && !event.shiftKey && event.key === "v") {
      event.stopPropagation();
    }
  },
  true,
);

// Keys reach the dashboard without a click. The timer: textual.js makes the terminal in its own handler of this event.
window.addEventListener("load", () => setTimeout(() => document.querySelector(".xterm-helper-textarea").focus()));
