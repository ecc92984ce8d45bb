// What the nodes' extensions know about results, without the page or ComfyUI's app: tested by tests/web.

/** Calls `then(node, output)` after every result of a node type, behind what the frontend and others do there. */
export function afterResult(nodeType, then) {
  const onExecuted = nodeType.prototype.onExecuted;
  nodeType.prototype.onExecuted = function (output) {
    onExecuted?.call(this, output);
    then(this, output);
  };
}

/** The text that a node sends with its result; undefined where it sends none. */
export function reportOf(output) {
  return output?.text?.join("\n");
}

/** Where the previews that are shown at `place` are shown: there, and on the subgraph nodes around the node. */
export function placesOfPreviews(previews, place) {
  const urls = new Set(previews[place]);
  return Object.keys(previews).filter((other) => previews[other]?.some?.((url) => urls.has(url)));
}

/** The size of a node that has to hold `needed`, both [width, height]: it never shrinks. */
export function grown(size, needed) {
  return [Math.max(size[0], needed[0]), Math.max(size[1], needed[1])];
}
