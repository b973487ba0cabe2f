package tfpwl.android;

import android.content.res.AssetFileDescriptor;
import android.content.res.AssetManager;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import org.jetbrains.annotations.NotNull;
import org.jetbrains.annotations.Nullable;
import tfpwl.BundleException;
import tfpwl.bundle.Bundle;
import tfpwl.bundle.PublicKey;

/** Packed bundles among the app's assets, read where they lie in the APK: nothing is unpacked or copied. */
public final class AssetBundles {
    private AssetBundles() {
    }

    /**
     * Open a packed bundle from the app's assets.
     *
     * @param name of the asset; it must not be compressed: {@code androidResources { noCompress "tfpwl" }}
     * @param key demand a signature by the owner of this key; null demands none, as the APK itself is signed
     * @throws BundleException there is no such asset, it is compressed, or the bundle is broken
     */
    @NotNull
    public static Bundle open(@NotNull AssetManager assets, @NotNull String name, @Nullable PublicKey key) {
        AssetFileDescriptor descriptor;
        try {
            descriptor = assets.openFd(name);
        } catch (FileNotFoundException exc) {
            throw new BundleException("The asset " + name + " is missing or compressed (" + exc.getMessage()
                    + "). Store it uncompressed: androidResources { noCompress \"tfpwl\" }.", exc);
        } catch (IOException exc) {
            throw new BundleException("The asset " + name + " cannot be opened: " + exc.getMessage(), exc);
        }
        return open(descriptor, name, key);
    }

    /**
     * Open a packed bundle from a descriptor, such as Play Asset Delivery's; the descriptor is closed.
     *
     * @param name for messages
     * @throws BundleException the bundle is broken
     */
    @NotNull
    public static Bundle open(@NotNull AssetFileDescriptor descriptor, @NotNull String name,
            @Nullable PublicKey key) {
        try {
            try {
                // Not createInputStream(): its stream begins at the asset, while a channel counts from the APK's start.
                FileInputStream stream = new FileInputStream(descriptor.getFileDescriptor());
                return Bundle.openPack(name, stream.getChannel(), descriptor.getStartOffset(),
                        descriptor.getLength(), key);
            } finally {
                descriptor.close();
            }
        } catch (IOException exc) {
            throw new BundleException("The asset " + name + " cannot be read: " + exc.getMessage(), exc);
        }
    }
}
