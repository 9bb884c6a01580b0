'use client';

import { useEffect, useRef, useState } from 'react';
import { ImageClassifier } from 'tractlet';

export default function Page() {
  const image = useRef(null);
  const [answer, setAnswer] = useState('');

  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    classify(image.current, signal).then(setAnswer, (error) => signal.aborted || setAnswer(String(error)));
    return () => controller.abort();
  }, []);

  return (
    <>
      <img ref={image} src="/coffee.jpg" alt="" width="300" />
      <output>{answer}</output>
    </>
  );
}

async function classify(image, signal) {
  const classifier = await ImageClassifier.create('/squeezenet1.1-int8.json', { signal });
  const [best] = await classifier.classify(image, { signal });
  await classifier.release();
  return `${best.label} ${best.score.toFixed(3)}`;
}
