import { useEffect, useState } from 'react';
import { ImageClassifier } from 'tractlet';

/** The classifier of a card; undefined until it is loaded. */
function useClassifier(card) {
  const [classifier, setClassifier] = useState();
  useEffect(() => {
    const controller = new AbortController();
    const loading = ImageClassifier.create(card, { signal: controller.signal });
    loading.then(setClassifier, (error) => controller.signal.aborted || console.error(error));
    return () => {
      controller.abort();
      setClassifier(undefined);
      loading.then((loaded) => loaded.release(), () => undefined);
    };
  }, [card]);
  return classifier;
}

export function Classifier({ src }) {
  const classifier = useClassifier('/squeezenet1.1-int8.json');
  const [image, setImage] = useState(null);
  const [answer, setAnswer] = useState('');
  useEffect(() => {
    if (!classifier || !image) return undefined;
    const controller = new AbortController();
    const show = ([best]) => setAnswer(`${best.label} ${best.score.toFixed(3)}`);
    classifier.classify(image, { signal: controller.signal }).then(show, (error) => controller.signal.aborted || setAnswer(error.message));
    return () => controller.abort();
  }, [classifier, image, src]);

  return (
    <>
      <img ref={setImage} src={src} alt="" width="300" />
      <output>{answer}</output>
    </>
  );
}
