// @ts-check
// The webcam: on only between "Camera" and the picture (or "Stop"), off whenever the page is out of sight.

import { PageError } from './errors.js';

export class Camera {
  /** @type {MediaStream | undefined} */
  #stream;
  /** Counts starts and stops, so that a permission granted after "Stop" does not turn the camera on. */
  #turn = 0;
  #video;
  #onEnd;

  /**
   * @param {HTMLVideoElement} video
   * @param {() => void} onEnd  called when the camera goes off or is not going to come on
   */
  constructor(video, onEnd) {
    this.#video = video;
    this.#onEnd = onEnd;
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.stop();
    });
  }

  /** @returns {Promise<boolean>} false when it was stopped while it started */
  async start() {
    this.#release();
    const turn = ++this.#turn;
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new PageError(
        'CAMERA_UNAVAILABLE',
        'This browser gives the page no access to a camera.',
        window.isSecureContext ? undefined : 'Cameras work only on https:// and localhost addresses.',
      );
    }
    /** @type {MediaStream} */
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: 'environment', width: { ideal: 960 }, height: { ideal: 720 } },
      });
    } catch (error) {
      throw cameraError(error);
    }
    if (turn !== this.#turn) {
      for (const track of stream.getTracks()) track.stop();
      return false;
    }
    this.#stream = stream;
    for (const track of stream.getTracks()) track.addEventListener('ended', () => this.stop());
    this.#video.srcObject = stream;
    this.#video.hidden = false;
    try {
      await this.#video.play();
    } catch {
      // Stopped in the same moment, or the browser waits for a frame: neither is a failure.
    }
    return this.#stream === stream;
  }

  /** @returns {Promise<ImageBitmap>} */
  async take() {
    if (this.#video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) {
      throw new PageError('CAMERA_NOT_READY', 'The camera has not sent a picture yet.', 'Wait a moment and try again.');
    }
    return createImageBitmap(this.#video);
  }

  stop() {
    this.#turn += 1;
    this.#release();
    this.#onEnd();
  }

  #release() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.#video.srcObject = null;
    this.#video.hidden = true;
  }
}

/** @param {unknown} error */
function cameraError(error) {
  const name = error instanceof Error ? error.name : '';
  if (name === 'NotAllowedError' || name === 'SecurityError') {
    return new PageError(
      'CAMERA_REFUSED',
      'The camera stays off, because the browser was told not to share it with this page.',
      'To change that, use the camera sign beside the address. Everything else here works without it.',
    );
  }
  if (name === 'NotFoundError' || name === 'OverconstrainedError') {
    return new PageError('CAMERA_MISSING', 'This device has no camera that the browser can find.', 'Choose a file instead.');
  }
  if (name === 'NotReadableError' || name === 'AbortError') {
    return new PageError(
      'CAMERA_BUSY',
      'The camera did not start.',
      'Another program may be using it: close that one and try again.',
    );
  }
  return error;
}
