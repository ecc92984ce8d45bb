// Shows the text that a node sends with its result (a report, remarks on prompts) in a read-only field under its widgets. The
// field is no input: it is neither saved nor sent.
import { app } from "../../scripts/app.js";
import { ComfyWidgets } from "../../scripts/widgets.js";

const NAME = "kontinuity_text";

function show(node, text) {
  const place = node.widgets?.findIndex((widget) => widget.name === NAME) ?? -1;
  if (!text) {
    if (place >= 0) node.widgets.splice(place, 1)[0].onRemove?.();
  } else {
    const widget = place >= 0 ? node.widgets[place] : ComfyWidgets.STRING(node, NAME, ["STRING", { multiline: true }], app).widget;
    widget.serialize = false;
    widget.options.serialize = false;
    widget.value = text;
    if (widget.inputEl) widget.inputEl.readOnly = true;
    const size = node.computeSize();
    node.setSize?.([Math.max(size[0], node.size[0]), Math.max(size[1], node.size[1])]);
  }
  node.setDirtyCanvas?.(true, true);
}

app.registerExtension({
  name: "Kontinuity.Text",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith("Kontinuity_")) return;
    const onExecuted = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.call(this, output);
      if (output?.text) show(this, output.text.join("\n"));
    };
  },
});
