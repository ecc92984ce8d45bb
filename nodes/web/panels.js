// Shows the finished panels on Render Storyboard. The frontend shows a node's live previews for as long as there are any, even
// after its pictures have arrived, so they are dropped then.
import { app } from "../../scripts/app.js";

app.registerExtension({
  name: "Kontinuity.FinishedPanels",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== "Kontinuity_RenderStoryboard") return;
    const onExecuted = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.call(this, output);
      for (const key of Object.keys(app.nodePreviewImages ?? {})) {
        // Inside a subgraph the key is "<subgraph>:<node>".
        if (key === String(this.id) || key.endsWith(`:${this.id}`)) delete app.nodePreviewImages[key];
      }
      this.imageIndex = null; // the preview was one picture, shown alone; the panels are a grid
      this.setDirtyCanvas?.(true, true);
    };
  },
});
