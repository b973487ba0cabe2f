package tfpwl.android;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import android.content.ComponentCallbacks2;
import android.content.res.AssetFileDescriptor;
import android.os.ParcelFileDescriptor;
import java.io.FileInputStream;
import java.nio.MappedByteBuffer;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import tfpwl.SignatureException;
import tfpwl.bundle.Bundle;
import tfpwl.bundle.Fixtures;
import tfpwl.bundle.PublicKey;
import tfpwl.runtime.ModelOptions;
import tfpwl.runtime.ProgressiveModel;
import tfpwl.runtime.State;
import tfpwl.runtime.TestEngines;

/** The parts that touch Android, with Android's own AssetFileDescriptor on the JVM. */
class AssetBundlesTest {
    /** Closing goes into Android's C library, which a desktop has not; all else is the framework's own code. */
    private static final class Descriptor extends AssetFileDescriptor {
        private final FileInputStream apk;

        Descriptor(FileInputStream apk, long offset, long length) throws Exception {
            super(new ParcelFileDescriptor(apk.getFD()), offset, length);
            this.apk = apk;
        }

        @Override
        public void close() throws java.io.IOException {
            apk.close();
        }
    }

    private static Bundle open(PublicKey key) throws Exception {
        Map<String, Object> asset = Fixtures.map(Fixtures.facts().get("asset"));
        Descriptor descriptor = new Descriptor(new FileInputStream(Fixtures.bundle("fp32.apk")),
                (Long) asset.get("offset"), (Long) asset.get("length"));
        try {
            return AssetBundles.open(descriptor, "fp32.tfpwl", key);
        } finally {
            assertTrue(!descriptor.apk.getFD().valid(), "the descriptor is closed in any case");
        }
    }

    @Test
    void aModelRunsOutOfAnAssetAndGivesItsTeacherBackWhenAndroidAsks() throws Exception {
        Bundle bundle = open(Fixtures.key("right"));
        assertTrue(bundle.read(bundle.manifest().files().get(0), true) instanceof MappedByteBuffer);
        try (ProgressiveModel model = ProgressiveModel.open(bundle, new ModelOptions().engine(TestEngines.real()))) {
            ComponentCallbacks2 callbacks = new TrimMemoryCallbacks(model);
            model.upgradeNow(null, null);
            callbacks.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_UI_HIDDEN);
            assertTrue(model.await(60, TimeUnit.SECONDS));
            assertEquals(State.COMPLETE, model.state());
            callbacks.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_RUNNING_CRITICAL);
            assertTrue(model.await(60, TimeUnit.SECONDS));
            assertEquals("SSS", model.mix().toString());
            model.upgradeNow(null, null);
            callbacks.onLowMemory();
            assertTrue(model.await(60, TimeUnit.SECONDS));
            assertEquals("SSS", model.mix().toString());
        }
    }

    @Test
    void anAssetBySomebodyElseIsRefused() {
        assertThrows(SignatureException.class, () -> open(Fixtures.key("other")));
    }
}
