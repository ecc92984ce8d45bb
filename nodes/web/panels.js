// Shows the finished panels on Render Storyboard. The frontend shows a node's live previews for as long as there are
// any, even after its pictures have arrived, so they are dropped then. It offers extensions no way to do that: this
// reaches into its store of pictures, and where that is not as expected nothing is done.
import { app } from "../../scripts/app.js";

function dropPreviews(node) {
  const store = app.extensionManager?._p?._s?.get?.("nodeOutput");
  const previews = store?.nodePreviewImages ?? app.nodePreviewImages ?? {};
  const key = app.extensionManager?.workflow?.nodeToNodeLocatorId?.(node) ?? String(node.id);
  const urls = new Set(previews[key]);
  for (const [place, shown] of Object.entries(previews)) {
    // The subgraph nodes around the node show the same previews.
    if (!shown?.some?.((url) => urls.has(url))) continue;
    store?.revokePreviewsByLocatorId?.(place);
    delete store?.nodePreviewImages?.[place]; // the frontend of ComfyUI 0.3.75 does not hand that function out
    delete app.nodePreviewImages?.[place];
  }
}

app.registerExtension({
  name: "Kontinuity.FinishedPanels",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== "Kontinuity_RenderStoryboard") return;
    const onExecuted = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.call(this, output);
      dropPreviews(this);
      this.imageIndex = null; // the preview was one picture, shown alone; the panels are a grid
      this.setDirtyCanvas?.(true, true);
    };
  },
});
