// On a phone the pictures are below the controls: show them once something is drawn.
addEventListener("click", (event) => {
  if (innerWidth <= 800 && event.target.closest("#draw"))
    document.querySelector("#results").scrollIntoView({behavior: "smooth"});
});

// Gradio names every radio button differently, so that each is a stop of the Tab key and arrow keys do nothing.
// With one name for each group, and the group's label told, keyboards and screen readers meet one control.
const groupRadios = () => {
  for (const group of document.querySelectorAll("fieldset:has(input[type=radio])")) {
    const radios = group.querySelectorAll("input[type=radio]");
    for (const radio of radios) if (radio.name !== radios[0].name) radio.name = radios[0].name;
    const label = group.querySelector("[data-testid=block-info]");
    if (label && !group.ariaLabel) group.ariaLabel = label.textContent;
  }
};
new MutationObserver(groupRadios).observe(document, {childList: true, subtree: true});
