// The scene's time: plays, loops, steps.  Knows nothing of drawing.

export class Clock {
  /** times: {first, last, frame}: seconds of the scene and between its frames. */
  constructor(times) {
    this.times = times;
    this.now = times.first;
    this.playing = false;
    this.loop = true;
    this.speed = 1;
  }

  get moves() {
    return this.times.last > this.times.first;
  }

  set(time) {
    this.now = Math.min(Math.max(time, this.times.first), this.times.last);
  }

  play(on = !this.playing) {
    this.playing = on && this.moves;
    if (this.playing && this.now >= this.times.last) this.now = this.times.first;
  }

  /** Moves to the next frame, or by more of them; a fraction of a frame is rounded away first. */
  step(frames) {
    this.playing = false;
    const { first, frame } = this.times;
    this.set(first + (Math.round((this.now - first) / frame) + frames) * frame);
  }

  /** Lets so many seconds pass. */
  tick(seconds) {
    if (!this.playing) return;
    const { first, last, frame } = this.times;
    let next = this.now + seconds * this.speed;
    // The last frame is shown as long as any other before the first comes again.
    const end = this.loop ? last + frame : last;
    if (next >= end) {
      if (!this.loop) this.playing = false;
      next = this.loop ? first + ((next - first) % (end - first)) : last;
    }
    this.now = next;
  }

  /** The moment to show: the time, not beyond the last frame. */
  get shown() {
    return Math.min(this.now, this.times.last);
  }
}
