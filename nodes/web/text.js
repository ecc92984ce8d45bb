// Shows the text that a node sends with its result (a report, remarks on prompts) in a read-only field under its
// widgets. The field is no input: it is neither saved nor sent.
import { app } from "../../scripts/app.js";
import { afterResult, grown, reportOf } from "./lib/results.js";

const NAME = "report"; // also its label; no node of the pack has an input of that name

function show(node, text) {
  const earlier = node.widgets?.find((widget) => widget.name === NAME);
  if (earlier) node.removeWidget(earlier);
  if (text) {
    const { widget } = app.widgets.STRING(node, NAME, ["STRING", { multiline: true }], app);
    widget.serialize = false;
    widget.options.serialize = false;
    widget.options.read_only = true; // in Nodes 2.0
    if (widget.element) {
      widget.element.readOnly = true; // on the canvas
      widget.element.setAttribute("aria-label", NAME);
    }
    widget.value = text;
    node.setSize?.(grown(node.size, node.computeSize()));
  }
  node.setDirtyCanvas?.(true, true);
}

app.registerExtension({
  name: "Kontinuity.Text",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith("Kontinuity_")) return;
    afterResult(nodeType, (node, output) => {
      const text = reportOf(output);
      if (text !== undefined) show(node, text);
    });
  },
});
