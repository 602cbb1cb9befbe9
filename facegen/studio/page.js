// On a phone the pictures are below the controls: show them once something is drawn.
addEventListener("click", (event) => {
  if (innerWidth <= 800 && event.target.closest("#draw"))
    document.querySelector("#results").scrollIntoView({behavior: "smooth"});
});

// Gradio names every radio button differently, so that each is a stop of the Tab key and arrow keys do nothing.
// With one name for each group, and the group's label told, keyboards and screen readers meet one control.
let groups = 0;
const groupRadios = () => {
  for (const group of document.querySelectorAll("fieldset:has(input[type=radio])")) {
    group.radioName ??= `group-${++groups}`;
    for (const radio of group.querySelectorAll("input[type=radio]"))
      if (radio.name !== group.radioName) radio.name = group.radioName;
    const label = group.querySelector("[data-testid=block-info]");
    if (label && !group.ariaLabel) group.ariaLabel = label.textContent;
  }
};
new MutationObserver(groupRadios).observe(document, {
  childList: true, subtree: true, attributes: true, attributeFilter: ["name"],  // it names them again and again
});

// A picture dropped anywhere but on the field for photos brings its settings back: it goes where a chosen one goes.
for (const kind of ["dragover", "drop"])
  addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files") || event.target.closest?.("#photo")) return;
    event.preventDefault();
    event.stopPropagation();
    if (kind === "dragover") return;
    upload("#recall", event.dataTransfer.files[0]);
  }, true);

// As if the file had been chosen by that button.
function upload(button, file) {
  const files = new DataTransfer();
  files.items.add(file);
  const input = document.querySelector(button).parentElement.querySelector(":scope > input[type=file]");
  input.files = files.files;
  input.dispatchEvent(new Event("change", {bubbles: true}));
}
