// Shows the finished panels on Render Storyboard. The frontend shows a node's live previews for as long as there are
// any, even after its pictures have arrived, so they are dropped then. It offers extensions no way to do that: this
// reaches into its store of pictures, and where that is not as expected nothing is done.
import { app } from "../../scripts/app.js";
import { afterResult, placesOfPreviews } from "./lib/results.js";

function dropPreviews(node) {
  const store = app.extensionManager?._p?._s?.get?.("nodeOutput");
  const previews = store?.nodePreviewImages ?? app.nodePreviewImages ?? {};
  const place = app.extensionManager?.workflow?.nodeToNodeLocatorId?.(node) ?? String(node.id);
  for (const shown of placesOfPreviews(previews, place)) {
    store?.revokePreviewsByLocatorId?.(shown);
    delete store?.nodePreviewImages?.[shown]; // the frontend of ComfyUI 0.3.75 does not hand that function out
    delete app.nodePreviewImages?.[shown];
  }
}

app.registerExtension({
  name: "Kontinuity.FinishedPanels",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== "Kontinuity_RenderStoryboard") return;
    afterResult(nodeType, (node) => {
      dropPreviews(node);
      node.imageIndex = null; // the preview was one picture, shown alone; the panels are a grid
      node.setDirtyCanvas?.(true, true);
    });
  },
});
