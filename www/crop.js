// @ts-check
// Which part of a picture the model gets to see, so that the page can mark it.

/**
 * @typedef {import('../dist/index.js').ImageInput} ImageInput
 * @typedef {{ x: number, y: number }} Share  how much of the width and of the height, 0 to 1, always from the middle
 */

/**
 * @param {ImageInput | undefined} input  from the model card
 * @param {number} width
 * @param {number} height
 * @returns {Share}
 */
export function visibleShare(input, width, height) {
  const shorter = Math.min(width, height);
  switch (input?.crop.mode) {
    case 'center': {
      const side = shorter * input.crop.ratio;
      return { x: side / width, y: side / height };
    }
    case 'resize-then-center': {
      const scale = input.crop.resize / shorter;
      const [rows, columns] = input.size;
      return { x: Math.min(1, columns / (width * scale)), y: Math.min(1, rows / (height * scale)) };
    }
    default:
      return { x: 1, y: 1 };
  }
}
