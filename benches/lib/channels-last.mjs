/** [1, C, H, W] to [1, H, W, C]. Runs in pages. */
export function channelsLast(data, [, channels, height, width]) {
  const result = new Float32Array(data.length);
  const area = height * width;
  for (let channel = 0; channel < channels; channel += 1) {
    for (let at = 0; at < area; at += 1) result[at * channels + channel] = data[channel * area + at];
  }
  return result;
}
