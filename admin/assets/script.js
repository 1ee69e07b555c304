// Nothing here is needed: times also in local time, and buttons that copy.
"use strict";
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = `${time.title}\n${new Date(time.dateTime).toLocaleString()} local time`;
}
if (navigator.clipboard) {
  for (const source of document.querySelectorAll("[data-copy]")) {
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
